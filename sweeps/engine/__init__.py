"""The engine: members of a sweep through compiled programs.

Does not belong here: statistics (`inference`), files (`storage`), flags (`commands`).
"""
