"""Gaps between the fence and what Kafka delivers: found, sought and read again.

Whatever Faust, a rebalance or Kafka's committed offset skipped, and whatever a Redis restored from an older snapshot
no longer knows, shows up as a first offset beyond fence + 1. This module never passes a record. It passes offset gaps:
offsets that were read over and hold no record (transaction markers, compaction), and those that retention deleted if an
operator override says so.
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
        """The epoch that began when the partition was last revoked from this worker."""
        ...

    async def position(self) -> tuple[range, int | None]:
        """The last skipped offsets (read over, no record in them), and the offset read next, None if unknown."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """The log's first offset and the offset after the last that can be read."""
        ...


class Observation(NamedTuple):
    """What the consumer and the log of a partition show.

    Attributes:
        skipped: The last offsets that were read over and hold no record.
        position: The offset that is read next, None if unknown.
        log_start: The log's first offset.
    """

    skipped: range
    position: int | None
    log_start: int


class Expired(Exception):
    """Retention deleted records that were never applied, and no operator override says that they may be passed.

    Attributes:
        due: The first of them.
        log_start: The first offset that is still there.
    """

    def __init__(self, due: int, log_start: int) -> None:
        super().__init__(due, log_start)
        self.due, self.log_start = due, log_start


class Gaps:
    """Holds one partition's reading to the offset after its fence.

    Args:
        partition: For messages.
        kafka: The partition's log.
    """

    def __init__(self, partition: Partition, kafka: PartitionLog) -> None:
        self._partition, self._kafka = partition, kafka
        self._sought: tuple[int, int] | None = None
        self._idle_at: tuple[int, int | None] | None = None

    async def continues(self, fence: int | None, fetch: Fetch, *, expired_until: int) -> int | None:
        """Whether a fetch read from the offset after the fence or from an earlier one; if not, seeks back.

        Args:
            fence: Last applied offset.
            fetch: That brought the records.
            expired_until: An operator override: records before it may be passed if retention deleted them.

        Returns:
            None if its records must be left alone; else how many offsets before them were deleted by retention.

        Raises:
            Expired: Retention deleted records that were never applied, and no override covers them.
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
            await self.seek(there)
        return None  # it was fetched before the seek: what the seek brings is still to come

    async def observe(self) -> Observation:
        """What the consumer and the log show now; takes as long as Kafka takes to answer."""
        skipped, position = await self._kafka.position()
        log_start, _ = await self._kafka.bounds()
        return Observation(skipped, position, log_start)

    async def check_idle(self, fence: int | None, observed: Observation) -> int | None:
        """Checks a partition on which no chunk is in work.

        Seeks back if the position is ahead of the fence in two checks in a row: one may fall between a fetch and its
        arrival. The fence may have moved since the observation: that an offset holds no record is true for ever.

        Returns:
            The end of the offset gap that follows the fence; None if a record may follow it.
        """
        skipped, position, log_start = observed
        due = log_start if fence is None else fence + 1
        there = max(due, log_start)
        at, before = (due, position), self._idle_at
        self._idle_at = None
        if due in skipped:
            return skipped.stop
        if position is None or position <= there or there in skipped:
            return None  # records that retention deleted are noticed when the next one comes
        if at != before:
            self._idle_at = at
            return None
        log.warning("idle_gap", partition=self._partition, due=due, position=position)
        await self.seek(there)
        return None

    async def seek(self, offset: int) -> None:
        """Moves the position to `offset`."""
        self._sought = (offset, await self._kafka.seek(offset))
