"""Comparing: the sweep launcher, the onset, and the commands."""
