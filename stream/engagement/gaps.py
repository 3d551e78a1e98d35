"""Gaps between the fence and what Kafka delivers: found, sought and read again.

Whatever Faust, a rebalance or Kafka's committed offset skipped, and whatever a Redis restored from an older snapshot
no longer knows, shows up as a first offset beyond fence + 1. This module never passes a record: it passes offsets that
were looked at and hold none (transaction markers, compaction), and those that retention deleted if an operator said so.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import structlog

from recsys.kafka.records import Fetch
from recsys.keys import Partition

log = structlog.get_logger(__name__)


class PartitionLog(Protocol):
    """What is asked of the consumer about one partition."""

    async def seek(self, offset: int) -> int:
        """Moves the position; returns the epoch of chunks fetched from there."""
        ...

    def owned_since(self) -> int:
        """The epoch that began when the partition was last taken away from this worker."""
        ...

    async def place(self) -> tuple[range, int | None]:
        """The offsets looked at last that hold no record, and the offset that is read next, None if unknown."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """The log's first offset and the offset after the last that can be read."""
        ...


class Seen(NamedTuple):
    """A look at a partition.

    Attributes:
        empty: The offsets looked at last that hold no record.
        position: The offset that is read next, None if unknown.
        log_start: The log's first offset.
    """

    empty: range
    position: int | None
    log_start: int


class Expired(Exception):
    """Retention deleted records that were never applied, and nobody said that they may be passed.

    Attributes:
        due: The first of them.
        log_start: The first offset that is still there.
    """

    def __init__(self, due: int, log_start: int) -> None:
        super().__init__(due, log_start)
        self.due, self.log_start = due, log_start


class Gaps:
    """Holds one partition's reading to the offset behind its fence.

    Args:
        partition: For messages.
        kafka: The partition's log.
    """

    def __init__(self, partition: Partition, kafka: PartitionLog) -> None:
        self._partition, self._kafka = partition, kafka
        self._sought: tuple[int, int] | None = None
        self._idle_at: tuple[int, int | None] | None = None

    def closed(self) -> None:
        """A commit moved the fence: what was sought before is settled."""
        self._sought = self._idle_at = None

    async def continues(self, fence: int | None, fetch: Fetch, *, expired_until: int) -> int | None:
        """Whether a fetch looked from the offset behind the fence or before it; if not, seeks back.

        Args:
            fence: Last applied offset.
            fetch: That brought the records.
            expired_until: The operator's word: records before it may be passed if retention deleted them.

        Returns:
            None if its records must be left alone; else how many offsets before them were deleted by retention.

        Raises:
            Expired: Kafka deleted records that were never applied, and nobody accepted that.
        """
        if fence is not None and fetch.begun_at <= fence + 1:
            return 0
        log_start, _ = await self._kafka.bounds()
        due = log_start if fence is None else fence + 1
        if due < log_start and log_start > expired_until:
            raise Expired(due, log_start)
        there = max(due, log_start)
        if fetch.begun_at <= there:
            return max(0, min(fetch.begun_at, log_start) - due)
        if self._sought is None or self._sought[0] != there or fetch.epoch >= self._sought[1]:
            log.warning("gap", partition=self._partition, due=due, received=fetch.begun_at)
            await self.reread(there)
        return None  # what was fetched before the seek: what was asked for is still to come

    async def seen(self) -> Seen:
        """What the consumer and the log show now; takes as long as Kafka takes to answer."""
        empty, position = await self._kafka.place()
        log_start, _ = await self._kafka.bounds()
        return Seen(empty, position, log_start)

    async def idle(self, fence: int | None, seen: Seen) -> int | None:
        """Nothing is under way: the offset up to which the log holds no record behind the fence, None if it may.

        Seeks back if the position stays ahead of the fence for two looks in a row: one may fall between a fetch and
        its arrival. The fence may have moved since the look: that an offset holds no record is true for ever.
        """
        empty, position, log_start = seen
        due = log_start if fence is None else fence + 1
        there = max(due, log_start)
        at, before = (due, position), self._idle_at
        self._idle_at = None
        if due in empty:
            return empty.stop
        if position is None or position <= there or there in empty:
            return None  # records that retention deleted are noticed when the next one comes
        if at != before:
            self._idle_at = at
            return None
        log.warning("idle_gap", partition=self._partition, due=due, position=position)
        await self.reread(there)
        return None

    async def reread(self, offset: int) -> None:
        """Moves the position to `offset`."""
        self._sought = (offset, await self._kafka.seek(offset))
