"""What is written to disk: rasters and checkpoints."""
