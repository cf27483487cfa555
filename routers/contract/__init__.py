"""The executable contract: what every router must satisfy, as checks that explain.

    for finding in examine(Attention(width=16)):
        print(finding)

A check that the router makes raise is a failure, with the error as its detail.
"""

from typing import NamedTuple

from routers.base import Router
from routers.contract.checks import CHECKS
from routers.contract.specimen import Specimen, specimen

__all__ = ["CHECKS", "Finding", "Specimen", "examine", "specimen"]


class Finding(NamedTuple):
    """The outcome of one check on one geometry kind; ``detail`` is empty if passed."""

    check: str
    kind: str
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the router satisfies the check."""
        return not self.detail


def examine(router: Router, seed: int = 0) -> list[Finding]:
    """Runs the whole contract on a router, once for every geometry kind it accepts."""
    findings = []
    for kind in sorted(router.kinds):
        subject = specimen(router, kind, seed=seed)
        for name, check in CHECKS.items():
            try:
                detail = check(subject)
            except Exception as error:  # a check must survive whatever a router does
                detail = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            findings.append(Finding(name, kind, detail or ""))
    return findings
