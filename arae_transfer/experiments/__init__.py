"""The paper's experiments, each on the project's own training and data."""
