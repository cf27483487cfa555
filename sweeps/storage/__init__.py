"""What is on disk: the work directory, its manifest, the journal, atomic writing.

What does not belong here: the content of the tables and figures that are written.
"""
