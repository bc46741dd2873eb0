"""The training loop, its runs, and what they write."""
