"""Measures every member of a trained sweep under every null."""

import jax
import numpy as np

from sweeps.engine.inputs import (
    diagnosis_inputs,
    make_members,
    row_blocks,
    take_rows,
)
from sweeps.engine.programs import CompiledSweep, variants_of
from sweeps.engine.train import Trained
from sweeps.findings.post_hoc import neutral_members
from sweeps.inference.diagnosis import Diagnosis
from sweeps.runtime.placement import place, replicate
from sweeps.runtime.processes import to_host


def diagnose(compiled: CompiledSweep, trained: Trained) -> Diagnosis | None:
    """Measures the members of a trained sweep under every null.

    Args:
      compiled: The sweep.
      trained: Its members; there may be more of them than the programs take at once,
        and then one block of rows is measured after the other.

    Returns:
      What was found; None if the experiment asks for no diagnosis.
    """
    if compiled.programs.diagnose is None:
        return None
    experiment = trained.results.experiment
    mesh, task = compiled.mesh, compiled.shared.task
    # Of the sweep as it was compiled: refinement may add the neutral value later.
    variants, absent = variants_of(compiled.experiment)
    shared = replicate(mesh, diagnosis_inputs(experiment))
    neutral = neutral_members(experiment)
    program = compiled.programs.diagnose.result()
    found: list[dict[str, np.ndarray]] = []
    params = jax.tree.map(np.asarray, trained.states.params)
    for order in row_blocks(experiment.grid.members, compiled.rows):
        members = place(mesh, make_members(experiment, experiment.grid, order))
        sources = (
            place(mesh, take_rows(params, order)),
            place(mesh, take_rows(params, neutral[order])),
            compiled.programs.init(members, task).params,
        )
        found.append(to_host(program(sources, members, task, shared)))
    members_in_all = experiment.grid.members
    return Diagnosis(
        step=experiment.steps,
        nulls=tuple(variant.name for variant in variants),
        absent=absent,
        measures={
            name: np.concatenate([block[name] for block in found])[:members_in_all]
            for name in found[0]
        },
    )
