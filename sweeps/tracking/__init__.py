"""A sweep in Weights & Biases: a mirror of the work directory, which is the record.

Everything of W&B runs in a process of its own (`writer`), which is nobody's terminal
and can be ended at any moment. So whatever W&B, its server or its disk does, a sweep
loses at most some seconds and gains at most one line of warning.

Does not belong here: any number that is not in the record already (`findings`), nor
what is drawn without W&B (`report`).
"""
