"""Reader studies: people rate rewrites without knowing who wrote them."""
