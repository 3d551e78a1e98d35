"""Moments: a learner just before an event; an even sample of those that the parent has seen is the old slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from numpy.random import Generator


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """What a situation is computed from: a learner just before an event, and the course they took.

    Attributes:
        user_row: Row of the user embeddings.
        rows: Courses of their history.
        engagement: Decayed to the instant.
        course: Row of the course.
    """

    user_row: int
    rows: Any
    engagement: Any
    course: int


class OldSlice:
    """An even sample of moments, of bounded size (Vitter, 1985: algorithm R).

    Args:
        size: Most moments held.
    """

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._held: list[Moment] = []

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._held)

    def add(self, moment: Moment, rng: Generator) -> None:
        """Takes a moment in, or not, by chance."""
        self._seen += 1
        if len(self._held) < self._size:
            self._held.append(moment)
        elif (place := int(rng.integers(self._seen))) < self._size:
            self._held[place] = moment

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {"seen": self._seen, "held": packed(self._held)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._seen, self._held = state["seen"], unpacked(state["held"])


def packed(moments: Sequence[Moment]) -> list[list[Any]]:
    """For the checkpoint."""
    return [list(msgspec.structs.astuple(each)) for each in moments]


def unpacked(rows: Sequence[Sequence[Any]]) -> list[Moment]:
    """From the checkpoint."""
    return [Moment(*row) for row in rows]
