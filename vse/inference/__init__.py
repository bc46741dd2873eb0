"""A trained network as a thing to use: encode, score, rank; exported folders, and how features are made of pictures."""
