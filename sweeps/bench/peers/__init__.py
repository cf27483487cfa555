"""The same networks written with other libraries, as peers in a benchmark.

Does not belong here: Onset's own training path. Imports here are optional extras.
"""
