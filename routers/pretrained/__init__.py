"""Published checkpoints, read into the routers of this package."""
