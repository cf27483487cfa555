"""The machine: devices, processes, compile cache, signals.

Does not belong here: anything that knows what a sweep is.
"""
