"""What every network is, and the building blocks that two or more share."""
