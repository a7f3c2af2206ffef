"""Reader studies: people rate rewrites without knowing their systems."""
