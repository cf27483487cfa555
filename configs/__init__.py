"""What to run: one short file per experiment; default.py lists every key."""
