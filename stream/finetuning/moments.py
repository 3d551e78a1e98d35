"""Moments: a learner just before an event, by ids, so that they outlive a model; even samples of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.random import Generator


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """What a situation is computed from: a learner just before an event, and the course they took.

    Attributes:
        user: The learner.
        courses: Of their history `(m,)`.
        engagement: With them, decayed to the instant `(m,)`.
        course: The course taken.
        partition: Where the event stands.
        offset: The same.
        at_ms: Event time, ms since 1970 UTC.
    """

    user: str
    courses: Sequence[str]
    engagement: Any
    course: str
    partition: int
    offset: int
    at_ms: int


class MomentSample:
    """An even sample of moments, of bounded size (Vitter, 1985: algorithm R).

    Args:
        size: Most moments held.

    Attributes:
        seen: How many moments it is a sample of.
        held: The sample.
    """

    def __init__(self, size: int) -> None:
        self._size, self.seen = size, 0
        self.held: list[Moment] = []

    def add(self, moment: Callable[[], Moment], rng: Generator) -> None:
        """Takes a moment in, or not, by chance; it is made only where it is taken."""
        self.seen += 1
        if len(self.held) < self._size:
            self.held.append(moment())
        elif (place := int(rng.integers(self.seen))) < self._size:
            self.held[place] = moment()

    def forget(self, user: str) -> None:
        """Drops a learner's moments."""
        self.held = [each for each in self.held if each.user != user]

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {"seen": self.seen, "held": packed(self.held)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.seen, self.held = state["seen"], unpacked(state["held"])


class OldSlice:
    """Moments that the parent has seen, whose ranks an increment must keep; and those since, for the next parent.

    Args:
        size: Most moments of each.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._old, self._since = MomentSample(size), MomentSample(size)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._old.held)

    def add(self, moment: Callable[[], Moment], rng: Generator, *, new: bool) -> None:
        """Takes a moment in, or not, by chance; a new one is one that the parent has not seen."""
        (self._since if new else self._old).add(moment, rng)

    def forget(self, user: str) -> None:
        """Drops a learner's moments."""
        self._old.forget(user)
        self._since.forget(user)

    def of_parent(self, is_new: Callable[[Moment], bool], rng: Generator) -> None:
        """Goes over to another parent: what that one has seen is old now, each sample by how many it stands for."""
        pairs = [(each, part.seen / len(part.held)) for part in (self._old, self._since) for each in part.held]
        known = [(moment, stands_for) for moment, stands_for in pairs if not is_new(moment)]
        later = [(moment, stands_for) for moment, stands_for in pairs if is_new(moment)]
        self._old, self._since = (_drawn(some, self._size, rng) for some in (known, later))

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {"old": self._old.state(), "since": self._since.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._old.restore(state["old"])
        self._since.restore(state["since"])


def _drawn(weighted: Sequence[tuple[Moment, float]], size: int, rng: Generator) -> MomentSample:
    """A sample of moments that each stand for some."""
    found = MomentSample(size)
    if not weighted:
        return found
    stand_for = np.array([weight for _, weight in weighted])
    count = min(size, len(weighted))
    places = rng.choice(len(weighted), count, replace=False, p=stand_for / stand_for.sum())
    found.held, found.seen = [weighted[place][0] for place in sorted(places)], round(float(stand_for.sum()))
    return found


def packed(moments: Sequence[Moment]) -> list[list[Any]]:
    """For the checkpoint."""
    return [list(msgspec.structs.astuple(each)) for each in moments]


def unpacked(rows: Sequence[Sequence[Any]]) -> list[Moment]:
    """From the checkpoint."""
    return [Moment(*row) for row in rows]
