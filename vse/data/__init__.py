"""Data sets on disk, and the batches that networks read from them."""
