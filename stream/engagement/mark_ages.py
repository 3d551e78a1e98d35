"""How long learners have been waiting for a new list: the age of a shard's oldest dirty mark.

A mark is the offset that the fence had when the learner's state changed; old workers know no other, so it stays. The
worker remembers when it moved the fence and reads the age of a mark from that, without a word in Redis. What was marked
before this worker had the shard, or by a publication (mark 0), is older than anything it remembers: its age counts
from when this worker began with the shard or last saw it without marks, whichever is later. So an age is never shown
too low by more than the time the shard was another worker's, and after a publication at most `sweep` seconds too high.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from recsys.keys import Shard

RESOLUTION_S = 0.1
MOST_MOVES = 2000


@dataclass(slots=True)
class _Past:
    """What is remembered of a shard: moves of the fence in order, times and offsets apart."""

    began: float
    times: list[float] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    oldest_since: float | None = None

    def coarsen(self) -> None:
        """Joins moves two by two, each pair under its earlier time: ages are rather shown too high than too low."""
        ends = self.offsets[1::2] + ([self.offsets[-1]] if len(self.offsets) % 2 else [])
        self.times, self.offsets = self.times[::2], ends


class MarkAges:
    """The ages.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shards: dict[Shard, _Past] = {}

    def moved(self, shard: Shard, offset: int) -> None:
        """The fence moved to `offset` just now: what it marked is no older than this."""
        now, past = self._clock(), self._of(shard)
        if past.times and now - past.times[-1] < RESOLUTION_S:
            past.offsets[-1] = max(offset, past.offsets[-1])
        else:
            past.times.append(now)
            past.offsets.append(offset)
        if len(past.times) > MOST_MOVES:
            past.coarsen()

    def saw(self, shard: Shard, oldest_mark: int | None) -> None:
        """The shard's oldest mark was read just now; None where there is none."""
        past = self._of(shard)
        if oldest_mark is None:
            self._shards[shard] = _Past(self._clock())
            return
        if past.times:
            # A mark beyond all moves was set after the last one, by a commit that has not been told of yet.
            first = min(bisect_left(past.offsets, oldest_mark), len(past.times) - 1)
            del past.times[:first], past.offsets[:first]
        past.oldest_since = max(past.began, past.times[0]) if past.times else past.began

    def age_s(self, shard: Shard) -> float:
        """Seconds that the oldest mark has been waiting; 0 where none is known."""
        past = self._shards.get(shard)
        return 0.0 if past is None or past.oldest_since is None else self._clock() - past.oldest_since

    def moves(self, shard: Shard) -> int:
        """How many moves of the fence are remembered, at most `MOST_MOVES`."""
        past = self._shards.get(shard)
        return 0 if past is None else len(past.times)

    def forget_all_but(self, owned: Container[Shard]) -> None:
        """The other shards are other workers' now, also those of which only moves were told."""
        self._shards = {shard: past for shard, past in self._shards.items() if shard in owned}

    def _of(self, shard: Shard) -> _Past:
        return self._shards.setdefault(shard, _Past(self._clock()))
