"""Files in which others publish image features: one module per form, nothing in them can run."""
