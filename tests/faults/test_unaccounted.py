"""What T35 makes of a fine-tuner's ledger and checkpoints: each kind of error is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.faults.finetuning import Checkpoint, not_finite, unaccounted

KILLED_AT, ENDED_AT = Checkpoint({0: 50, 1: 50}, 20, {}), Checkpoint({0: 100, 1: 50}, 27, {})


def blocks(pid: int, *learned: tuple[int, int, int, int]) -> list[dict[str, Any]]:
    """A process that learned blocks of (partition, start, examples before, examples after)."""
    return [
        {"pid": pid, "what": what, "place": [partition, start, start + 50], "learned": count}
        for partition, start, before, after in learned
        for what, count in (("begin", before), ("done", after))
    ]


FIRST = blocks(1, (0, 0, 0, 12), (1, 0, 12, 20), (0, 50, 20, 27))
"""It was killed in or after its third block, which its checkpoint does not hold."""


def test_a_block_that_no_checkpoint_held_is_learned_again() -> None:
    assert unaccounted([*FIRST, *blocks(2, (0, 50, 20, 27))], [KILLED_AT, ENDED_AT]) == []


def test_a_kill_between_the_checkpoint_and_the_end_of_its_block() -> None:
    assert unaccounted([*FIRST[:3], *blocks(2, (0, 50, 20, 27))], [KILLED_AT, ENDED_AT]) == []


@pytest.mark.parametrize(
    ("again", "kept", "problem"),
    [
        (blocks(2, (1, 0, 20, 28), (0, 50, 28, 35)), ENDED_AT, "expected a block at 50"),
        (blocks(2, (0, 100, 20, 27)), ENDED_AT, "expected a block at 50"),
        (blocks(2, (0, 50, 12, 19)), ENDED_AT, "expected a start from 20 examples, received 12"),
        (blocks(2, (0, 50, 20, 28)), Checkpoint({0: 100, 1: 50}, 28, {}), "was 7 examples at first, then 8"),
        (blocks(2, (0, 50, 20, 27)), Checkpoint({0: 100, 1: 50}, 34, {}), "is of no block of its process"),
        (blocks(2, (0, 50, 20, 27)), Checkpoint({0: 100, 1: 100}, 27, {}), "is of no block of its process"),
        ([], ENDED_AT, "expected blocks of 2 processes"),
    ],
    ids=["twice", "left out", "an older state", "other examples", "counted twice", "positions ahead", "no process"],
)
def test_what_does_not_add_up_is_named(again: list[dict[str, Any]], kept: Checkpoint, problem: str) -> None:
    assert any(problem in line for line in unaccounted([*FIRST, *again], [KILLED_AT, kept]))


def test_numbers_that_are_none_are_found_wherever_they_are() -> None:
    state = {"steps": [{"bias": np.array([1.0, np.inf])}, (1.0, float("nan"))], "name": "nan", "count": 3}
    assert list(not_finite(state)) == ["checkpoint.steps[0].bias", "checkpoint.steps[1][1]"]
    assert list(not_finite({"bias": np.ones(3), "mean": 1.0, "names": ["a"]})) == []
