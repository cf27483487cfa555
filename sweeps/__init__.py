"""Sweeps of routers over brake strengths and seeds: comparison, not learning.

Belongs here: what runs many members and states what they show. Does not belong here:
the mathematics of a router (`routers`) or of training one member (`train`).
"""
