"""Measures published models as a sweep measures its members.

The windows of a text take the place of seeds, and a knob changes nothing but how the
published weights are evaluated. What is found has the same form as a sweep's, so the
same criterion, estimates, tables and figures serve both.

Does not belong here: anything that reads weights (`routers.pretrained`), or computes a
layer or a measure of it (`train.published`, `routers.signature`).
"""
