"""The task draws what its definition says, from random tables and from real text."""

from pathlib import Path

import jax
import numpy as np
import pytest

from train.tasks.bigram_backcopy import (
    BigramBackcopy,
    dirichlet_statistics,
    from_counts,
    text_statistics,
)
from train.tasks.text import STANDARD, read_text


def make(mass: float = 0.4, symbols: int = 8, triggers: int = 2) -> BigramBackcopy:
    statistics = dirichlet_statistics(symbols, 0.3, seed=0)
    return from_counts(*statistics, triggers=triggers, trigger_mass=mass, length=20)


def test_sequences_follow_the_rules() -> None:
    task = make()
    tokens, targets = map(np.asarray, task.sample(jax.random.key(0), 200))
    assert tokens.shape == targets.shape == (200, 20)
    assert tokens.dtype == np.int32
    np.testing.assert_array_equal(tokens[:, 1:], targets[:, :-1])
    assert (tokens[:, 0] == task.outputs - 1).all()
    assert (tokens[:, 1] >= task.triggers).all()
    assert (tokens[:, 1:] < task.outputs - 1).all()
    trigger = tokens[:, 1:] < task.triggers
    copied = targets[:, 1:][trigger]
    np.testing.assert_array_equal(copied, tokens[:, :-1][trigger])
    assert not (trigger[:, 1:] & trigger[:, :-1]).any()


def test_ordinary_steps_follow_the_table() -> None:
    task = make(mass=0.4)
    tokens, targets = map(np.asarray, task.sample(jax.random.key(1), 3000))
    rows = np.diff(np.asarray(task.rows), axis=1, prepend=0)
    np.testing.assert_allclose(rows[:, :2].sum(1), 0.4, atol=1e-5)
    following = targets[:, 1:][tokens[:, 1:] == 5]
    seen = np.bincount(following, minlength=8) / len(following)
    # Standard error of a share over several thousand draws is below .01.
    np.testing.assert_allclose(seen, rows[5], atol=0.04)


def test_kinds_are_copies_and_draws_from_the_table() -> None:
    task = make(mass=0.4)
    inputs, targets = task.sample(jax.random.key(2), 300)
    found = jax.jit(task.kinds)(inputs, targets)
    kinds = {name: np.asarray(kind.chosen) for name, kind in found.items()}
    tokens, following = np.asarray(inputs), np.asarray(targets)
    np.testing.assert_array_equal(kinds["backcopy"], tokens < 2)
    np.testing.assert_array_equal(kinds["bigram"], (tokens >= 2) & (tokens < 8))
    assert not kinds["bigram"][:, 0].any() and not kinds["backcopy"][:, 0].any()
    np.testing.assert_array_equal(found["backcopy"].surprise, 0)
    rows = np.diff(np.asarray(task.rows, float), axis=1, prepend=0)
    rows[:, -1] += 1 - rows.sum(1)
    x, y = tokens[kinds["bigram"]], following[kinds["bigram"]]
    surprise = np.asarray(found["bigram"].surprise)[kinds["bigram"]]
    np.testing.assert_allclose(surprise, -np.log(rows[x, y]), rtol=1e-4, atol=1e-5)
    # On average the surprise is the entropy of the rows that were drawn from.
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1))).sum(1)[x]
    error = (surprise - entropy).std() / np.sqrt(len(x))
    assert abs((surprise - entropy).mean()) < 4 * error


def test_streams_do_not_depend_on_batch_order() -> None:
    task = make()
    first, again = (task.sample(jax.random.key(3), 5) for _ in range(2))
    other = task.sample(jax.random.key(4), 5)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_text_statistics_rank_symbols_by_frequency() -> None:
    table, unigram = text_statistics("aabab ab", symbols=3, triggers=1)
    # a 4, b 3, space 1
    np.testing.assert_array_equal(unigram, [4, 3, 1])
    np.testing.assert_array_equal(table, [[1, 3, 0], [1, 0, 1], [1, 0, 0]])


def test_rare_symbols_and_their_bigrams_are_left_out() -> None:
    table, unigram = text_statistics("aaxbbxab", symbols=2, triggers=1)
    np.testing.assert_array_equal(unigram, [3, 3])
    np.testing.assert_array_equal(table, [[1, 1], [0, 1]])


def test_a_row_without_successors_falls_back_to_the_unigram() -> None:
    task = from_counts(
        np.asarray([[0.0, 1, 1], [0, 0, 0], [1, 0, 1]]),
        np.asarray([2.0, 1, 1]),
        triggers=1,
        trigger_mass=0,
        length=10,
    )
    np.testing.assert_allclose(task.rows[1], [0.5, 0.75, 1.0])


def test_the_standard_text_has_the_natural_trigger_share() -> None:
    table, unigram = text_statistics(read_text(STANDARD), symbols=64, triggers=3)
    assert len(unigram) == 64
    share = table[:, :3].sum() / table.sum()
    assert 0.25 < share < 0.45


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 9}, "train.length=9: must be at least 10"),
        ({"triggers": 8}, "task.triggers=8: must be between 1 and 7"),
        ({"triggers": 0}, "task.triggers=0"),
        ({"trigger_mass": 1.0}, r"task.trigger_mass=1.0: must be in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_named(change: dict, message: str) -> None:
    settings = {"triggers": 2, "trigger_mass": 0.0, "length": 20} | change
    with pytest.raises(ValueError, match=message):
        from_counts(*dirichlet_statistics(8, 0.3, seed=0), **settings)


def test_texts_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_text(str(tmp_path / "missing.txt"))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        read_text(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_text(str(tmp_path / "latin.txt"))
    with pytest.raises(ValueError, match="3 different symbols, but task.triggers=3"):
        text_statistics("abcabc", symbols=64, triggers=3)
