"""Machines that are not here: TPU slices to compile for, recipes to launch on.

Does not belong here: anything that runs a sweep on this machine.
"""
