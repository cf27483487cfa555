"""Everything that people look at: tables, sentences, figures, documents.

Does not belong here: computing any number; `findings` and `studies` supply them.
"""
