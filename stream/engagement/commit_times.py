"""When the records behind a dirty mark arrived and were committed: what the freshness of a list is measured from.

A mark is the offset of the commit that changed its learner, so the commit is found by it. Commits of another worker, of
an earlier start and beyond the bound are not known; lists that were marked by them are not measured.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

from recsys.keys import Shard

MOST_COMMITS = 1000


class CommitTime(NamedTuple):
    """One commit.

    Attributes:
        committed_at: Seconds, monotonic.
        arrival_ms: When the broker appended the first record of its chunk, ms since 1970 UTC.
    """

    committed_at: float
    arrival_ms: int


@dataclass(slots=True)
class _Commits:
    offsets: list[int] = field(default_factory=list)
    times: list[CommitTime] = field(default_factory=list)


class CommitTimes:
    """The latest commits of each shard, `MOST_COMMITS` at least."""

    def __init__(self) -> None:
        self._shards: dict[Shard, _Commits] = {}

    def committed(self, shard: Shard, fence: int, time: CommitTime) -> None:
        """The fence moved to `fence`; one that went back (Redis was restored) forgets what came after it."""
        commits = self._shards.setdefault(shard, _Commits())
        if commits.offsets and fence <= commits.offsets[-1]:
            kept = bisect_left(commits.offsets, fence)
            del commits.offsets[kept:], commits.times[kept:]
        commits.offsets.append(fence)
        commits.times.append(time)
        if len(commits.offsets) >= 2 * MOST_COMMITS:
            del commits.offsets[:MOST_COMMITS], commits.times[:MOST_COMMITS]

    def of_mark(self, shard: Shard, mark: int) -> CommitTime | None:
        """The commit that set a mark; None if it is not known."""
        commits = self._shards.get(shard)
        if commits is None or not commits.offsets or mark < commits.offsets[0]:
            return None
        place = bisect_left(commits.offsets, mark)
        return commits.times[place] if place < len(commits.times) else None

    def forget_all_but(self, owned: Container[Shard]) -> None:
        """The other shards are other workers' now."""
        self._shards = {shard: commits for shard, commits in self._shards.items() if shard in owned}
