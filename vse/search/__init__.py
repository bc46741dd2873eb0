"""Search in stored encodings: an index on disk (`store`), search (`find`), FAISS (`approximate`)."""
