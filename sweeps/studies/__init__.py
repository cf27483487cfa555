"""Simulated studies of the onset estimator; no network is trained.

Does not belong here: sweeps of real networks (`docs/studies.md`), or the documents
that present the studies (`sweeps/report`).
"""
