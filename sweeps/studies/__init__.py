"""Simulated studies of the onset's estimator; no network is trained.

Does not belong here: sweeps of real networks (`docs/studies.md`), or their documents.
"""
