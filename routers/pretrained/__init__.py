"""Published layers read into our routers: one table of names and layouts a family."""
