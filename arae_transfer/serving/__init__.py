"""`arae serve`: models over HTTP, with one batching thread, for programs, editors and people."""
