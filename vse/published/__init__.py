"""Readers of the original code's formats; nothing in such a file can run."""
