"""What a batch of VSRN holds: the regions of an image and the word ids of one of its captions."""

from vse.data.loading import Reader, regions_of

READER = Reader(regions_of("VSRN"))
"""How VSRN reads a data set."""
