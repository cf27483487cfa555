"""The same networks written with other libraries, to be timed against.

Does not belong here: anything of Onset's own path; imports are of optional extras.
"""
