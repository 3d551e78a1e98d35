"""What one worker merges over all shards for everybody: trending, and the activity of courses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Lists, ShardStore
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.course_activity import ActivityMerge
from stream.engagement.quietly import quietly
from stream.engagement.trending import merge_trending

log = structlog.get_logger(__name__)

TRENDING_EVERY_S = 2.0
LONGEST_PAUSE_S = 20.0
"""Between two merges, however long the last one waited for Redis, and while a worker catches up."""

TRENDING_OWNER = 0


class MergeStore(Lists, ShardStore, Protocol):
    """What merging uses of the online store."""


def no_catalogue() -> Container[str] | None:
    """No catalogue: every course is taken as known."""
    return None


def pause_after(took_s: float, every_s: float) -> float:
    """Seconds until the next merge: where merging takes long, as while a worker catches up, a tenth of the time."""
    return max(every_s, min(9 * took_s, LONGEST_PAUSE_S))


@dataclass(frozen=True)
class Merges:
    """Merges for as long as a worker runs, where that worker owns one certain partition.

    Attributes:
        settings: All settings.
        store: The online store.
        topology: The shards that are merged.
        owned: The partitions this worker owns right now.
        now_ms: Wall clock, ms since 1970 UTC.
        catalogue: The courses that are known right now; None while no model is.
        every_s: Seconds between merges.
        catching_up: Whether more waits in a partition than fits into a commit: then merges are rare, as lists are.
        longest_pause_s: Seconds between two merges, or the start and the first, while it catches up.
    """

    settings: Settings
    store: MergeStore
    topology: Topology
    owned: Callable[[], Iterable[Partition]]
    now_ms: Callable[[], int]
    catalogue: Callable[[], Container[str] | None] = no_catalogue
    every_s: float = TRENDING_EVERY_S
    catching_up: Callable[[], bool] = bool
    longest_pause_s: float = LONGEST_PAUSE_S
    _missing: list[str] = field(default_factory=list)
    _missing_activity: list[str] = field(default_factory=list)

    async def merge_for_all(self) -> None:
        """The owner of one partition merges trending and the activity of courses for all.

        A worker that begins behind goes by what was merged before it: its first merge can wait as any other.
        """
        settings = self.settings
        keys = KeySpace(settings.redis_key_prefix)
        activity = ActivityMerge(self.store, self.topology.shards(), settings.consumer_group, keys)
        took_s, merged_at = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(pause_after(took_s, self.every_s))
            begun = time.monotonic()
            if self.catching_up() and begun < merged_at + self.longest_pause_s:
                continue
            if TRENDING_OWNER in set(self.owned()):
                merged_at = begun
                await quietly(self._merge_trending)
                await quietly(lambda: self._merge_activity(activity))
                took_s = time.monotonic() - begun

    async def _merge_activity(self, activity: ActivityMerge) -> None:
        unreadable = ""
        try:
            await activity.merge(self.catalogue(), self.now_ms())
        except UnreadableState as error:  # named once: it stays until a rebuild
            unreadable = str(error)
            if unreadable not in self._missing_activity:
                log.error("activity_not_merged", error=unreadable)  # noqa: TRY400 - the error says all
        self._missing_activity[:] = [unreadable] if unreadable else []

    async def _merge_trending(self) -> None:
        missing: list[UnreadableState] = []
        merged = await merge_trending(
            self.store,
            self.topology.shards(),
            size=self.settings.trending_size,
            now_ms=self.now_ms(),
            catalogue=self.catalogue(),
            left_out=missing.append,
        )
        metrics.UNJOINED.set(merged.unjoined)
        told, now = set(self._missing), {str(error) for error in missing}
        self._missing[:] = now
        for error in now - told:
            log.error("trending_incomplete", error=error)
