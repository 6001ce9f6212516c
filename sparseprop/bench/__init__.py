"""What `sparseprop bench` and the scripts in `benchmarks/` measure and report."""
