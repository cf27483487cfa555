"""All tests run on two host devices, as a sweep on two cores does."""

import pytest

from sweeps.placement import claim_cores

claim_cores(2)


@pytest.fixture(scope="session")
def tiny() -> dict[str, object]:
    """Overrides that make a sweep of a few seconds."""
    return {
        "sweep.num": 2,
        "sweep.seeds": 2,
        "sweep.low": 0.03,
        "sweep.high": 3.0,
        "model.width": 16,
        "train.steps": 6,
        "train.batch": 4,
        "train.length": 12,
        "task.symbols": 8,
        "task.triggers": 2,
        "eval.points": 2,
        "eval.sequences": 4,
        "wandb.mode": "disabled",
    }
