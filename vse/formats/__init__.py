"""Read untrusted files without running code: arrays, tensors, pickles and exported folders."""
