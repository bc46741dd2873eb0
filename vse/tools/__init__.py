"""The commands of `python -m vse`, one module each."""
