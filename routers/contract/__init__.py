"""The executable contract: checks that every router must pass, and why one failed.

    for finding in examine(Attention(width=16)):
        print(finding)

If a router makes a check raise an error, the check has failed, with the error as its
detail.
"""

from typing import NamedTuple

from routers.base import Router
from routers.contract.checks import CHECKS
from routers.contract.specimen import Specimen, specimen

__all__ = ["CHECKS", "Finding", "Specimen", "examine", "specimen"]


class Finding(NamedTuple):
    """The outcome of one check on one geometry kind.

    Attributes:
      check: Name of the check.
      kind: Geometry kind on which it ran.
      detail: Reason for the failure in one line; empty if the check passed.
    """

    check: str
    kind: str
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the router satisfies the check."""
        return not self.detail


def examine(router: Router, seed: int = 0) -> list[Finding]:
    """Runs all checks on a router, once for every geometry kind that it accepts."""
    findings = []
    for kind in sorted(router.kinds):
        subject = specimen(router, kind, seed=seed)
        for name, check in CHECKS.items():
            try:
                detail = check(subject)
            except Exception as error:  # a router may raise anything
                detail = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            findings.append(Finding(name, kind, detail or ""))
    return findings
