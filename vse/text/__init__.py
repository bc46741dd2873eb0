"""Read caption files, split captions into words, and map words to ids."""
