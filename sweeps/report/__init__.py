"""What people look at: tables, sentences, figures, documents, Weights & Biases.

Does not belong here: any number that is not handed over by `findings`.
"""
