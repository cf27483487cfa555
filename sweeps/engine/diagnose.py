"""Diagnoses a finished sweep."""

from typing import Any

import jax
import numpy as np

from routers.signature.nulls import Variant, diagnostic_variants
from sweeps.design.experiment import Experiment
from sweeps.engine.programs import diagnosis_inputs, make_members, turns
from sweeps.engine.train import Sweep
from sweeps.findings.post_hoc import neutral_members, why_absent
from sweeps.inference.diagnosis import Diagnosis
from sweeps.runtime.placement import make_mesh, place, replicate
from sweeps.runtime.processes import to_host


def variants_of(experiment: Experiment) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """The variants of a sweep, and why others are absent."""
    router, _ = experiment.routers[experiment.slot]
    return diagnostic_variants(router, experiment.kind, why_absent(experiment))


def diagnose(sweep: Sweep) -> Diagnosis:
    """Measures every member of a finished sweep under every null.

    Args:
      sweep: prepared with its variants; its states are read, not moved. There may be
        more members than its programs take at once, which then take turns.

    Raises:
      ValueError: it was prepared without variants.
    """
    experiment = sweep.experiment
    variants, absent = variants_of(experiment)
    mesh = make_mesh(sweep.placement)
    shared = replicate(mesh, diagnosis_inputs(experiment))
    trained = jax.tree.map(np.asarray, sweep.states.params)
    neutral = neutral_members(experiment)
    if sweep.programs.diagnose is None:
        raise ValueError("diagnose: the sweep was prepared without variants")
    program = sweep.programs.diagnose.result()
    found: list[dict[str, np.ndarray]] = []
    for order in turns(experiment.grid.members, sweep.rows):
        rows = place(mesh, make_members(experiment, order))
        params = (
            place(mesh, _rows(trained, order)),
            place(mesh, _rows(trained, neutral[order])),
            sweep.programs.init(rows, sweep.task).params,
        )
        turn = program(params, rows, sweep.task, shared)
        found.append(to_host(turn))
    members = experiment.grid.members
    return Diagnosis(
        step=experiment.steps,
        nulls=tuple(variant.name for variant in variants),
        absent=absent,
        measures={
            name: np.concatenate([turn[name] for turn in found])[:members]
            for name in found[0]
        },
    )


def _rows(params: Any, order: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[order], params)
