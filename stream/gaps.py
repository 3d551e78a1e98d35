"""Gaps between the fence and what Kafka delivers: found, sought and read again.

Whatever Faust, a rebalance or Kafka's committed offset skipped, and whatever a Redis restored from an older snapshot
no longer knows, shows up as a first offset beyond fence + 1. This module never passes a record: it passes offsets that
hold none (transaction markers, compaction), and those that retention deleted if an operator said so.
"""

from __future__ import annotations

from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


class PartitionLog(Protocol):
    """What is asked of the consumer about one partition."""

    async def seek(self, offset: int) -> int:
        """Moves the position; returns the epoch of chunks fetched from there."""
        ...

    def owned_since(self) -> int:
        """The epoch that began when the partition was last taken away from this worker."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """The log's first offset and the offset after its last."""
        ...


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

    def __init__(self, partition: int, kafka: PartitionLog) -> None:
        self._partition, self._kafka = partition, kafka
        self._sought: tuple[int, int] | None = None
        self._hole_seen: tuple[int, int] | None = None
        self._idle_at: tuple[int, int] | None = None
        self._reread_at: tuple[int, int] | None = None

    def closed(self) -> None:
        """A commit moved the fence: what was sought before is settled."""
        self._sought = self._hole_seen = self._idle_at = self._reread_at = None

    async def continues(self, fence: int | None, first: int, epoch: int, *, expired_until: int) -> int | None:
        """Whether a chunk that begins at `first` follows the fence; if not, seeks back.

        Args:
            fence: Last applied offset.
            first: The chunk's first offset.
            epoch: The chunk's.
            expired_until: The operator's word: records before it may be passed if retention deleted them.

        Returns:
            None if the chunk must be left alone; else how many offsets before it were deleted by retention.

        Raises:
            Expired: Kafka deleted records that were never applied, and nobody accepted that.
        """
        if fence is not None and first == fence + 1:
            return 0
        log_start, _ = await self._kafka.bounds()
        due = log_start if fence is None else fence + 1
        if due < log_start and log_start > expired_until:
            raise Expired(due, log_start)
        if first <= max(due, log_start):
            return max(0, log_start - due)
        if self._sought is not None and self._sought[0] == due:
            if epoch < self._sought[1]:
                return None  # fetched before the seek: what was asked for is still to come
            if epoch == self._sought[1] and self._is_hole(due, first):
                return max(0, log_start - due)
        log.warning("gap", partition=self._partition, due=due, received=first)
        await self.reread(due, log_start)
        return None

    async def idle(self, fence: int | None, position: int) -> None:
        """Nothing is under way: seeks back if the position stays ahead of the fence for two looks in a row."""
        log_start, _ = await self._kafka.bounds()
        due = log_start if fence is None else fence + 1
        at, before = (due, position), self._idle_at
        self._idle_at = at
        if position > due and at == before and at != self._reread_at:
            log.warning("idle_gap", partition=self._partition, due=due, position=position)
            self._reread_at = at
            await self.reread(due, log_start)

    async def reread(self, due: int, log_start: int) -> None:
        """Moves the position to `due`, or to the first record that is still there."""
        self._sought = (due, await self._kafka.seek(max(due, log_start)))

    def _is_hole(self, due: int, first: int) -> bool:
        """Whether the offsets from `due` up to `first` hold no records any more. Believed at the second look."""
        if self._hole_seen != (due, first):
            self._hole_seen = (due, first)
            return False
        log.warning("hole", partition=self._partition, due=due, first=first)
        return True
