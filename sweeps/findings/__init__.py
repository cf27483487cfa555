"""From measurements to statements: results, onsets, tables, comparisons.

Does not belong here: running anything, drawing or printing anything.
"""
