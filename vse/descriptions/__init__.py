"""Semantic description vectors of captions: make, store and find them."""
