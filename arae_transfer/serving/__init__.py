"""`arae serve`: models behind HTTP, with one batching thread, for programs, editors and people."""
