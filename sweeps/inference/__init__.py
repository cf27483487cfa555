"""Statistics of outcomes: criterion, onset, interval, refinement; no input or output.

Does not belong here: anything that knows a config, a file or a device.
"""
