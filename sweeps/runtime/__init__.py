"""The machine: devices, processes, compile cache, signals.

What does not belong here: anything that knows what a sweep is.
"""
