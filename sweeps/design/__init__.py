"""What will run: members, waves, and the experiment that a config describes.

Does not belong here: anything that computes a training step or a statistic.
"""
