"""Timing of training and of single routers, against others in the same run.

Does not belong here: anything that a sweep itself needs.
"""
