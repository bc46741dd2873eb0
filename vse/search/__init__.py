"""Search in what a network encoded once: an index on disk (`store`), finding in it (`find`), FAISS (`approximate`)."""
