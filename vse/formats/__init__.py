"""Files from anywhere, read without running code: arrays, tensors, pickles and exported folders."""
