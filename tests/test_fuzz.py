"""A sample of the fuzz script's cases: each is answered by one line or accepted."""

import pytest

from tests.fuzz import KINDS, fuzz, report

CASES = 64


@pytest.fixture(scope="module")
def sample() -> list:
    return list(fuzz(CASES, seed=7, real=0.0))


def test_every_case_is_answered(sample: list) -> None:
    failed = [(case.arguments, found) for _, case, found in sample if found.failed]
    assert not failed
    assert {kind for kind, _, _ in sample} == set(KINDS)
    verdicts = [found.verdict for _, _, found in sample]
    assert verdicts.count("refused") > CASES / 2
    assert verdicts.count("accepted") > 2


def test_the_table_counts_every_case_once(sample: list) -> None:
    last = report(sample).splitlines()[-1]
    assert last.startswith(f"| all | {CASES} | ")
    assert sum(map(int, last.split(" | ")[2:5])) == CASES


def test_a_case_depends_on_its_seed_and_number_alone() -> None:
    (first,) = fuzz(1, seed=7, real=0.0)
    again, _ = fuzz(2, seed=7, real=0.0)
    same = [word.split("onset-fuzz-")[0] for word in first[1].arguments]
    assert [word.split("onset-fuzz-")[0] for word in again[1].arguments] == same
