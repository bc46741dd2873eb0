"""Formats in which image features are published: one module per format; no file can run code."""
