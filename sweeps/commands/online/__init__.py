"""Commands that need the server of Weights & Biases: flags and exit codes.

Does not belong here: what they do there, which is in `tracking`.
"""
