"""Where the reading of each partition stands, and who moved it there.

A chunk has to tell two things about its fetch: whether it was made before the last seek, and from which offset on it
looked. Between that offset and the first record there is none in the log, so a gap that holds nothing (transaction
markers, compaction) is told from one that was skipped. What takes part in a fetch or moves a position is called in the
consumer's thread, the rest in the app's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from faust.types.tuples import TP

from stream.records import Record


class Fetch(NamedTuple):
    """What is known of the fetch that brought a chunk.

    Attributes:
        epoch: Counts the partition's seeks and revocations; a chunk of an earlier one was fetched before the last.
        begun_at: The offset it looked from: there is no record between it and the chunk's first, unless retention
            deleted one. None if others moved the position since.
    """

    epoch: int
    begun_at: int | None


class ReadPositions:
    """The books of one consumer; safe to use from both of its threads."""

    def __init__(self) -> None:
        self._books = threading.Lock()
        self._epochs: Counter[TP] = Counter()
        self._owned_since: dict[TP, int] = {}
        self._next: dict[TP, int] = {}
        self._moved_by_others: set[TP] = set()

    def epoch(self, tp: TP) -> int:
        """How often the partition's position was moved, or the partition taken away, so far."""
        return self._epochs[tp]

    def owned_since(self, tp: TP) -> int:
        """The epoch that began when the partition was last taken away; chunks of earlier ones are read again."""
        return self._owned_since.get(tp, 0)

    def looked_until(self, tp: TP) -> int | None:
        """The offset behind the last record that was returned, or the one sought since; None if unknown."""
        with self._books:
            return self._looked_until(tp)

    def _looked_until(self, tp: TP) -> int | None:
        return None if tp in self._moved_by_others else self._next.get(tp)

    def sought(self, tp: TP, offset: int) -> None:
        """This worker moved the position."""
        with self._books:
            self._epochs[tp] += 1
            self._next[tp] = offset

    def revoked(self, tps: Iterable[TP]) -> None:
        """The partitions are taken away; wherever they are read next, somebody else says so."""
        with self._books:
            for tp in tps:
                self._epochs[tp] += 1
                self._owned_since[tp] = self._epochs[tp]
                self._moved_by_others.add(tp)

    def lost(self, tps: Iterable[TP]) -> None:
        """Faust begins to move the positions to the committed offsets."""
        with self._books:
            self._moved_by_others.update(tps)

    def found(self, tps: Iterable[TP]) -> None:
        """It is done: from now on only `sought` moves them. Where they stand is known with the next records."""
        with self._books:
            for tp in tps:
                self._epochs[tp] += 1
                self._next.pop(tp, None)
                self._moved_by_others.discard(tp)

    def returned(self, fetched: Mapping[TP, Sequence[Record]]) -> dict[TP, Fetch]:
        """Records came back, at least one a partition."""
        with self._books:
            fetches = {tp: Fetch(self._epochs[tp], self._looked_until(tp)) for tp in fetched}
            self._next |= {tp: records[-1].offset + 1 for tp, records in fetched.items()}
            return fetches
