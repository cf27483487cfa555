"""The commands of the simulated studies of the onset's estimator, and their flags.

Does not belong here: the studies (`sweeps.studies`), or their documents.
"""
