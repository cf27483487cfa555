"""The executable contract: checks that every router must pass, and why one failed.

    for finding in examine(Attention(width=16)):
        print(finding)

The checks do not trust the router: they measure which weights its fast path applies and
compare them with those that it reports. If a router makes a check raise an error, the
check has failed, with the error as its detail. What cannot be checked is said.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from routers.base import Router
from routers.contract import (
    claims,
    declarations,
    independence,
    limits,
    locality,
    running,
    weights,
)
from routers.contract.differences import Unchecked, one_line
from routers.contract.second_process import agrees_with_another_process
from routers.contract.specimen import Specimen, specimen
from routers.geometry import KINDS

__all__ = [
    "CHECKS",
    "DECLARATIONS",
    "QUICK",
    "Finding",
    "Specimen",
    "examine",
    "examine_elsewhere",
    "specimen",
]

DECLARATIONS: Mapping[str, Callable[[Router], str | None]] = {
    check.__name__: check
    for check in (declarations.declares_knobs, declarations.declares_what_exists)
}
"""Checks of the class alone, in the order in which they run."""

CHECKS: Mapping[str, Callable[[Specimen], str | None]] = {
    check.__name__: check
    for check in (
        weights.shapes_and_dtypes,
        weights.rows_are_shares,
        weights.mixes_what_it_reports,
        weights.knobs_act_per_head,
        weights.heads_are_separate,
        independence.ignores_the_future,
        independence.ignores_the_length,
        independence.ignores_other_rows,
        independence.geometry_is_per_row,
        independence.respects_node_order,
        independence.edges_equal_the_mask,
        locality.stages_are_local,
        limits.no_content_no_brake_is_uniform,
        limits.zero_brake_ignores_distance,
        limits.strong_brake_keeps_the_nearest,
        limits.weights_depend_on_content,
        limits.every_knob_matters,
        limits.neutral_values_do_nothing,
        limits.promised_limits_hold,
        claims.roles_are_what_they_claim,
        claims.norms_are_those_of_the_features,
        claims.values_are_what_combine_mixes,
        claims.channel_mass_is_that_of_the_fast_path,
        claims.circuits_are_the_output,
        running.finite_everywhere,
        running.vmap_equals_loop,
        running.compiles_once,
        running.init_ignores_knobs,
        running.is_deterministic,
    )
}
"""Checks that run the router on one geometry kind, in the order in which they run."""

QUICK = (
    "shapes_and_dtypes",
    "rows_are_shares",
    "mixes_what_it_reports",
    "ignores_the_length",
    "ignores_other_rows",
    "no_content_no_brake_is_uniform",
    "weights_depend_on_content",
    "strong_brake_keeps_the_nearest",
    "every_knob_matters",
)
"""The checks of a quick examination, which need two compiled programs."""


class Finding(NamedTuple):
    """The outcome of one check on one geometry kind.

    Attributes:
      check: Name of the check.
      kind: Geometry kind on which it ran; empty if it ran on none.
      detail: Reason for the failure in one line; empty if the check passed.
      unchecked: What could not be checked, in one line; empty if nothing.
    """

    check: str
    kind: str
    detail: str
    unchecked: str = ""

    @property
    def passed(self) -> bool:
        """Whether the router satisfies the check."""
        return not self.detail


def examine(
    router: Router,
    seed: int = 0,
    checks: Collection[str] = tuple(CHECKS),
    longest: int = 0,
) -> list[Finding]:
    """Runs checks on a router, once for every geometry kind that it accepts.

    Args:
      router: The router, with the width and the settings to examine.
      seed: Seed of parameters and inputs.
      checks: Names of the `CHECKS` to run. The `DECLARATIONS` always run; if one of
        them fails, nothing else does.
      longest: Number of positions of the sequences on which the router will be used,
        see `specimen`.

    Returns:
      One finding for every check and kind.
    """
    findings = [_run(name, "", c, router) for name, c in DECLARATIONS.items()]
    if not all(finding.passed for finding in findings):
        return findings
    for kind in sorted(set(router.kinds) & set(KINDS)):
        try:
            subject = specimen(router, kind, seed, longest)
        except Exception as error:  # a router may raise anything
            findings.append(Finding("can_be_initialised", kind, one_line(error)))
            continue
        findings += _once(
            [_run(n, kind, c, subject) for n, c in CHECKS.items() if n in checks]
        )
    return findings


def _once(findings: list[Finding]) -> list[Finding]:
    """The findings, with a detail that several share told by the first alone."""
    told: dict[str, str] = {}
    return [
        f._replace(detail=f"the same as in {told[f.detail]}")
        if told.setdefault(f.detail, f.check) != f.check and f.detail
        else f
        for f in findings
    ]


def examine_elsewhere(router: Router, seed: int = 0) -> list[Finding]:
    """Compares a router with itself in a new process, which takes some seconds."""

    def check(kind: str) -> str | None:
        return agrees_with_another_process(router, kind, seed)

    kinds = sorted(set(getattr(router, "kinds", ())) & set(KINDS))
    return [_run(agrees_with_another_process.__name__, k, check, k) for k in kinds]


def _run(
    name: str, kind: str, check: Callable[..., str | None], subject: object
) -> Finding:
    try:
        detail = check(subject) or ""
    except Exception as error:  # a router may raise anything
        detail = one_line(error)
    if isinstance(detail, Unchecked):
        return Finding(name, kind, "", str(detail))
    return Finding(name, kind, detail)
