"""Benchmarks: training and single routers, timed against peers in the same run.

Does not belong here: anything that a sweep itself needs.
"""
