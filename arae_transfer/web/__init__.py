"""`arae export --web`: a folder that any file server serves and that rewrites in the browser alone."""
