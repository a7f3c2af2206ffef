"""Quality estimation of rewrites: data for the quality estimator (numpy, never torch)."""
