"""A trained network as a thing to use: encode, score, rank, and how features are made of pictures."""
