"""Course features as of now: what the workers merged of all shards takes the place of what a bundle froze.

Where nothing was merged yet, or the bundle does not say what its features were made of, the frozen ones stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from recsys.course_sums.activity import BYTES, unpacked
from recsys.model.inputs import Doubles
from recsys.online_store import AllActivity

EVERY_S = 2.0


class Rankable(Protocol):
    """A model whose course features can be replaced."""

    def with_activity(self, ids: Sequence[str], vectors: Doubles, *, at_ms: int) -> Self:
        """The same model with course features as of a time."""
        ...


M = TypeVar("M", bound=Rankable)


class LiveFeatures(Generic[M]):
    """Keeps the scorer of one process at the course features of now.

    Args:
        read: Reads the merged activity. May raise `ServiceUnavailable` and `UnreadableState`.
        clock: Seconds, monotonic.
        now_ms: Wall clock, ms since 1970 UTC.
        every_s: Seconds between two reads.

    Attributes:
        computed_at_ms: When what is used was merged, ms since 1970 UTC; None while nothing is.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[AllActivity | None]],
        *,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        every_s: float = EVERY_S,
    ) -> None:
        self._read, self._clock, self._now_ms, self._every_s = read, clock, now_ms, every_s
        self._next = 0.0
        self._latest: tuple[tuple[str, ...], Doubles] | None = None
        self._of: M | None = None
        self._live: M | None = None
        self.computed_at_ms: int | None = None

    async def follow(self) -> None:
        """Reads what was merged, unless that was done just now, and computes features from it in a thread.

        Raises:
            ServiceUnavailable: The store does not answer; what was read before stays.
            UnreadableState: The value is none; what was read before stays.
        """
        if self._clock() < self._next:
            return
        self._next = self._clock() + self._every_s
        found = await self._read()
        if found is None:
            return
        self._latest, base = (found.course_ids, await asyncio.to_thread(_vectors, found)), self._of
        self.computed_at_ms = found.computed_at_ms
        if base is not None:
            live = await asyncio.to_thread(self._of_now, base)
            if self._of is base:
                self._live = live

    def of(self, scorer: M) -> M:
        """The scorer with the features of now, or as it is."""
        if self._of is not scorer or self._live is None:
            self._of, self._live = scorer, self._of_now(scorer)
        return self._live

    def _of_now(self, scorer: M) -> M:
        if self._latest is None:
            return scorer
        ids, vectors = self._latest
        return scorer.with_activity(ids, vectors, at_ms=self._now_ms())


def _vectors(found: AllActivity) -> Doubles:
    if not found.course_ids:
        return np.empty((0, BYTES // 8))
    return unpacked([found.vectors[start : start + BYTES] for start in range(0, len(found.vectors), BYTES)])
