"""How good a rewrite is: what the quality estimator reads and learns from (numpy, never torch)."""
