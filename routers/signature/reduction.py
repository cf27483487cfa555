"""Reduction of every measure of the full set to one number per model."""

from routers.signature import REDUCE

HUB = "concentration/hub"
FIRST_SOURCE = "concentration/first_source"
"""Mass on the first source of the queries of one kind, ``FIRST_SOURCE/KIND``."""

_LEAST = frozenset(
    {
        "participation",
        "perplexity",
        "row_entropy",
        "ratio",
        "effective_rank",
        "stable_rank",
        "participation_ratio",
        "rank_one_residual",
        "dirichlet_energy",
        "relative_dirichlet_energy",
        "mean_average_distance",
        "output_length",
        "matrix_entropy",
    }
)
_TWO_SIDED = frozenset(
    {
        "sink_minus_diagonal",
        "hub_feature_norm",
        "hub_negative_aware_norm",
        "key_mass_correlation",
        "hub_share",
    }
)


def reduction(name: str) -> str | None:
    """Reduction of a measure to one number per model, as in `REDUCE`.

    Measures of spread take their least value, two-sided measures their largest
    magnitude, and all others their largest value. The index of a hub is not reduced.
    """
    if name == HUB:
        return None
    if name.startswith(f"{FIRST_SOURCE}/"):
        return "max"  # whatever the task calls its kinds
    last = name.split("/")[-1]
    extreme = "min" if last in _LEAST else "absmax" if last in _TWO_SIDED else "max"
    return REDUCE.get(name, extreme)
