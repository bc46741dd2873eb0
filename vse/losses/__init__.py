"""Training objectives, one a file: sum_hinge, max_hinge (LMH), lseh, luwm, hal, and the memory bank HAL uses."""
