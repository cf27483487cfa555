"""Other machines: TPU slices to compile for, and recipes to launch a sweep there.

Does not belong here: anything that runs a sweep on this machine.
"""
