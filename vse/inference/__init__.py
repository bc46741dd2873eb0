"""Use a trained network: encode, score, rank, and extract features from pictures as its training data's were."""
