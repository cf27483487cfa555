"""Published checkpoints, read into the same routers."""
