"""A partition's guard: what has to outlive a worker so that a bad record stops neither the partition nor the worker.

Three rules. A record that ends the process is passed unread after three restarts; a partition whose records are mostly
refused, or were deleted by retention before they were applied, stands still until an operator says otherwise. They live
in Redis beside the fence
(docs/decisions/0007-guards-of-a-shard.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from recsys.errors import InvalidEvent, RefusalReason
from recsys.kafka.records import Record
from recsys.keys import Partition, Shard
from recsys.online_store import Guards, Stop
from stream.engagement import metrics
from stream.engagement.fold import Refused
from stream.engagement.refusals import RefusalShare

log = structlog.get_logger(__name__)

TRIES_ALONE = 2
"""How often a record may be begun on its own without being passed: the third time it becomes a dead letter."""


class PartitionGuard:
    """One partition's guard.

    Args:
        partition: For messages and metrics.
        shard: Where it is kept.
        group: Consumer group.
        store: The online store.
        stop_records: Records the dead-letter stop rule looks at.
        stop_share: The share of refused ones that is still normal, 0..1.
        now_ms: Wall clock, for the time of a stop.
    """

    def __init__(
        self,
        partition: Partition,
        shard: Shard,
        group: str,
        *,
        store: Guards,
        stop_records: int,
        stop_share: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._partition, self._shard, self._group = partition, shard, group
        self._store, self._now_ms = store, now_ms
        self._share = RefusalShare(stop_records, stop_share)
        self._rule = f"more than {stop_share:.0%} of the last {stop_records} records or more would be dead letters"
        self._alone_until: int | None = None
        self._announced: int | None = None
        self._tries = 0
        self._refusals_until = 0
        self._stop: Stop | None = None
        self.expired_until = 0
        self.begun = False
        self._counted = False

    async def begin(self) -> int | None:
        """Reads the guard as a writer begins; returns the fence."""
        self._counted = True
        fence, guard = await self._store.begin(self._shard, self._group)
        self.begun = True
        self._show(guard.stop)
        self._refusals_until, self.expired_until = guard.refusals_until, guard.expired_until
        unfinished = guard.suspect is not None and guard.suspect > (-1 if fence is None else fence)
        if guard.starts > 1 or unfinished:
            log.warning("careful_start", partition=self._partition, starts=guard.starts, suspect=guard.suspect)
            self._alone_until = guard.suspect if unfinished else -1
        return fence

    async def end(self) -> None:
        """The worker ends in order: its successor has nothing to be careful about."""
        if self._counted:  # also of a beginning whose answer nobody waited for
            await self._store.end(self._shard, self._group)

    def due(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records to apply in one step: one alone where a worker died, else all."""
        if self._alone_until is None:
            return records
        self._alone_until = max(self._alone_until, records[-1].offset)
        return records[:1]

    async def condemned(self, records: Sequence[Record]) -> Refused | None:
        """Announces a record that is begun on its own; returns its refusal if it was begun too often."""
        if self._alone_until is None:
            return None
        (record,) = records
        if record.offset != self._announced:  # a retry in a process that lives on is no further start
            self._tries = await self._store.suspect(self._shard, self._group, record.offset)
            self._announced = record.offset
        tries = self._tries
        if tries <= TRIES_ALONE:
            return None
        log.error("record_ends_workers", partition=self._partition, offset=record.offset, tries=tries - 1)
        await self._store.quarantine(self._shard, self._group, record.offset)
        detail = f"expected a record that can be applied, received the end of the worker {tries - 1} times"
        return Refused(record, InvalidEvent(RefusalReason.CRASHED_WORKER, detail))

    async def stops(self, records: Sequence[Record], refused: int) -> bool:
        """Whether these records must not be passed; then the partition stands still."""
        if records[-1].offset < self._refusals_until or not self._share.exceeded_by(len(records), refused):
            return False
        await self._stop_at(Stop(records[0].offset, self._rule, self._now_ms()))
        return True

    async def stop_at_expired(self, due: int, log_start: int) -> None:
        """The partition stands still before records that are gone, from `due` up to `log_start`."""
        reason = f"retention deleted {log_start - due} records that were never applied; the log starts at {log_start}"
        await self._stop_at(Stop(due, reason, self._now_ms(), log_start))

    async def _stop_at(self, stop: Stop) -> None:
        await self._store.stop_partition(self._shard, self._group, stop)
        self._show(stop)

    def passed(self, records: Sequence[Record], refused: int) -> None:
        """The fence moved behind these records."""
        self._share.add(len(records), refused)
        if self._alone_until is not None and records[-1].offset >= self._alone_until:
            self._alone_until = None

    def stopped(self) -> bool:
        """Whether the partition stands still until an operator says otherwise."""
        return self._stop is not None

    async def resumes(self) -> bool:
        """Asks whether an operator let a stopped partition go on."""
        guard = await self._store.guard(self._shard, self._group)
        if guard.stop is not None:
            return False
        self._share.clear()
        self._refusals_until, self.expired_until = guard.refusals_until, guard.expired_until
        self._show(None)
        log.info(
            "partition_resumed",
            partition=self._partition,
            refusals_until=guard.refusals_until,
            expired_until=guard.expired_until,
        )
        return True

    def _show(self, stop: Stop | None) -> None:
        self._stop = stop
        metrics.STOPPED.labels(str(self._partition)).set(stop is not None)
        if stop is not None:
            log.error("partition_stopped", partition=self._partition, offset=stop.offset, reason=stop.reason)
