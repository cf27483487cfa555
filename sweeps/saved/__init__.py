"""A finished sweep in Python: its table, its findings and its trained members.

    import sweeps

    run = sweeps.load("runs/attention")
    run.table.to_pandas()                     # every measure, one number a row
    member = run.member(brake=0.03, seed=2)   # one trained network
    inputs, targets = run.held_out            # what it was measured on
    weights = member.routing(inputs)          # [L, B, H, T, S]
    run.members(brake=0.03).loss(inputs, targets)  # [M], all seeds in one call
    run.members(step=100)                     # at a step that train.keep_every kept

Opening a sweep reads no checkpoint; parameters are read when they are first used.
Directories of measured models open too; they have no members.

Belongs here: what is read back. Does not belong here: what a sweep computes or writes.
"""

from sweeps.saved.members import Member as Member
from sweeps.saved.members import Members as Members
from sweeps.saved.sweep import SavedSweep as SavedSweep
from sweeps.saved.sweep import load as load
