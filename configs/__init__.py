"""What to run: default.py documents every key, each other file is one experiment."""
