"""Score a split, rank, and report."""
