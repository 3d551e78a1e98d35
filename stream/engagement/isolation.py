"""What keeps a fault in one partition, and what of it must outlive a worker.

- Isolation mode: where a worker ended without saying so, its successor applies one record per commit. A record that was
  begun in isolation mode three times is a poison record: it is quarantined, and becomes a dead letter unread.
- A stop: a partition whose records are mostly refused, whose records retention deleted before they were applied, or
  whose state in Redis cannot be read stands still until an operator acts. Other partitions go on.

Both live in Redis beside the fence (docs/decisions/0007-guards-of-a-shard.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from recsys.errors import InvalidEvent, RefusalReason, ServiceUnavailable, UnreadableState
from recsys.kafka.records import Record
from recsys.keys import Partition, Shard
from recsys.online_store import Guards, Stop
from stream.engagement.fold import Refused
from stream.engagement.metrics import PartitionMetrics
from stream.engagement.refusals import RefusalShare

log = structlog.get_logger(__name__)

MAX_ISOLATED_ATTEMPTS = 2
"""How often a record may be begun in isolation mode and still be applied: the third time it is quarantined."""

TRY_AGAIN_S = 5.0
"""How long a stop lasts that Redis does not keep, before the partition tries again by itself."""


class Isolation:
    """One partition's isolation state.

    Args:
        partition: For messages.
        shard: Where the state is kept.
        group: Consumer group.
        store: The online store.
        metrics: The partition's metrics.
        stop_records: Records that the dead-letter stop rule counts.
        stop_share: The share of refused ones that is still normal, 0..1.
        clock: Seconds, monotonic; for stops that Redis does not keep.
        now_ms: Wall clock, for the time of a stop.

    Attributes:
        expired_until: An operator override: records before it may be passed if retention deleted them.
        begun: Whether the state was read from Redis.
    """

    def __init__(
        self,
        partition: Partition,
        shard: Shard,
        group: str,
        *,
        store: Guards,
        metrics: PartitionMetrics,
        stop_records: int,
        stop_share: float,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._partition, self._shard, self._group = partition, shard, group
        self._store, self._metrics, self._clock, self._now_ms = store, metrics, clock, now_ms
        self._share = RefusalShare(stop_records, stop_share)
        self._rule = f"more than {stop_share:.0%} of the last {stop_records} records or more would be dead letters"
        self._isolated_until: int | None = None
        self._announced: int | None = None
        self._attempts = 0
        self._refusals_until = 0
        self._stop: Stop | None = None
        self._try_again_at: float | None = None
        self._told = ""
        self.expired_until = 0
        self.begun = False
        self._counted = False

    async def begin(self) -> int | None:
        """Reads the state as a writer begins, and is counted among the starts at this fence; returns the fence."""
        self._counted = True
        fence, guard = await self._store.begin(self._shard, self._group)
        self.begun = True
        self._show(guard.stop)
        self._refusals_until, self.expired_until = guard.refusals_until, guard.expired_until
        unfinished = guard.attempted is not None and guard.attempted > (-1 if fence is None else fence)
        if guard.starts > 1 or unfinished:
            log.warning(
                "isolation_mode_entered", partition=self._partition, starts=guard.starts, attempted=guard.attempted
            )
            self._isolated_until = guard.attempted if unfinished else -1
        return fence

    async def end(self) -> None:
        """The worker gives the partition up in order: its successor need not enter isolation mode."""
        if self._counted:  # also where the answer to `begin` was not waited for
            await self._store.end(self._shard, self._group)

    def step(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records to apply in the next commit: one in isolation mode, else all."""
        if self._isolated_until is None:
            return records
        self._isolated_until = max(self._isolated_until, records[-1].offset)
        return records[:1]

    async def quarantined(self, records: Sequence[Record]) -> Refused | None:
        """In isolation mode, announces the record that is begun; returns its refusal if it is a poison record."""
        if self._isolated_until is None:
            return None
        (record,) = records
        if record.offset != self._announced:  # a retry within a process that lives on is no further attempt
            self._attempts = await self._store.count_attempt(self._shard, self._group, record.offset)
            self._announced = record.offset
        attempts = self._attempts
        if attempts <= MAX_ISOLATED_ATTEMPTS:
            return None
        log.error("record_quarantined", partition=self._partition, offset=record.offset, workers_ended=attempts - 1)
        await self._store.quarantine(self._shard, self._group, record.offset)
        detail = f"poison record: the worker ended {attempts - 1} times while it applied this record alone"
        return Refused(record, InvalidEvent(RefusalReason.CRASHED_WORKER, detail))

    async def stops(self, records: Sequence[Record], refused: int) -> bool:
        """Whether the dead-letter stop rule forbids to pass these records; then the partition is stopped."""
        if records[-1].offset < self._refusals_until or not self._share.exceeded_by(len(records), refused):
            return False
        await self._stop_at(Stop(records[0].offset, self._rule, self._now_ms()))
        return True

    async def stop_at_expired(self, due: int, log_start: int) -> None:
        """Stops the partition before records that retention deleted, from `due` up to `log_start`."""
        reason = f"retention deleted {log_start - due} records that were never applied; the log starts at {log_start}"
        await self._stop_at(Stop(due, reason, self._now_ms(), log_start))

    async def stop_at_unreadable(self, due: int, error: UnreadableState) -> None:
        """Stops the partition because no retry mends what Redis answers; told once, however often it is met.

        Redis keeps the stop where a rebuild heals the shard. Where something else is wrong (a right that is missing),
        or the key is the one that keeps stops, the stop is this worker's own, and the partition tries again every
        `TRY_AGAIN_S`.
        """
        stop = Stop(due, str(error), self._now_ms(), unreadable=error.key)
        told_before, self._told = self._told == stop.reason, stop.reason
        self._show(stop, tell=not told_before)
        self._try_again_at = self._clock() + TRY_AGAIN_S
        if not error.rebuild_heals:
            return
        try:
            await self._store.stop_partition(self._shard, self._group, stop)
        except (ServiceUnavailable, UnreadableState) as why:
            if not told_before:
                log.warning("stop_not_kept", partition=self._partition, error=str(why))
        else:
            self._try_again_at = None

    async def _stop_at(self, stop: Stop) -> None:
        await self._store.stop_partition(self._shard, self._group, stop)
        self._show(stop)

    def passed(self, records: Sequence[Record], refused: int) -> None:
        """The fence moved to the last of these records."""
        self._told = ""
        self._share.add(len(records), refused)
        if self._isolated_until is not None and records[-1].offset >= self._isolated_until:
            self._isolated_until = None

    def stopped(self) -> bool:
        """Whether the partition stands still until an operator acts."""
        return self._stop is not None

    async def may_resume(self) -> bool:
        """Whether the partition may go on: Redis keeps no stop, and this worker's own has lasted its time."""
        if self._try_again_at is not None and self._clock() < self._try_again_at:
            return False
        return (await self._store.guard(self._shard, self._group)).stop is None

    async def resume(self) -> None:
        """Goes on: an operator resumed the partition, or it tries again by itself."""
        guard = await self._store.guard(self._shard, self._group)
        self._share.clear()
        self._refusals_until, self.expired_until = guard.refusals_until, guard.expired_until
        by_operator, self._try_again_at = self._try_again_at is None, None
        self._show(guard.stop)
        if guard.stop is None and by_operator:
            log.info(
                "partition_resumed",
                partition=self._partition,
                refusals_until=guard.refusals_until,
                expired_until=guard.expired_until,
            )

    def _show(self, stop: Stop | None, *, tell: bool = True) -> None:
        self._stop = stop
        self._metrics.stopped(stop is not None)
        if stop is not None and tell:
            log.error("partition_stopped", partition=self._partition, offset=stop.offset, reason=stop.reason)
