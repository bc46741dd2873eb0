"""What a batch of SGRAF holds: the regions of an image and the word ids of one of its captions."""

from functools import partial

from vse.data.loading import region_training_data

training_data = partial(region_training_data, network="SGRAF")
"""(options, needs_descriptions) -> the data to train on; see `vse.data.loading.region_training_data`."""
