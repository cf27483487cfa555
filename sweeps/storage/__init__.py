"""What is on disk: the work directory, the journal, atomic files.

Does not belong here: the content of what is written.
"""
