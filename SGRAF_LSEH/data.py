"""What a batch of SGRAF holds: the regions of an image and the word ids of one of its captions."""

from vse.data.loading import Reader, regions_of

READER = Reader(regions_of("SGRAF", uniform=True))
"""How SGRAF reads a data set."""
