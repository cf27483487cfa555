"""The commands of `onset`, one module each: flags, checks of flags, exit codes.

Does not belong here: anything that a Python caller would want without a command line.
"""
