"""Weights of published layers read into our routers, by one table per model family."""
