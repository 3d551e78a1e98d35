"""One partition's records into the store, exactly once.

The truth is the fence in Redis, not Kafka's committed offset: a chunk is folded from state read together with the
fence and committed only if the fence still is that one. So a second owner, a retry after a lost reply and a
redelivery change nothing, and whatever was skipped is found as a gap and read again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from recsys.errors import InvalidEvent, RefusalReason, ServiceUnavailable, TopologyMismatch
from recsys.online_store import Effects, OnlineStore, ShardRead, ShardState, Stop
from stream import metrics
from stream.chunks import Chunk, Record
from stream.dead_letters import SideOutputs
from stream.fold import Batch, FoldRules, Refused, decode_records, fold
from stream.gaps import Gaps, PartitionLog
from stream.refusals import RefusalShare

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
FOLD_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
TRIES_ALONE = 2
"""How often a record may be begun on its own without being passed: the third time it becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class WriterRules:
    """What a shard's writer is configured with, beside the fold.

    Attributes:
        fold: Weights, decay, topology.
        retry_s: How long a service may be away before `apply` gives up.
        stop_records: Records the dead-letter stop rule looks at.
        stop_share: The share of refused ones that is still normal, 0..1.
        accept_retention_gap: The operator's word that records deleted by retention may be passed.
    """

    fold: FoldRules
    retry_s: float
    stop_records: int = 1000
    stop_share: float = 0.5
    accept_retention_gap: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a chunk.

    Attributes:
        counts: Records by outcome, as the shard counts them; empty if all were behind the fence.
        users: Users whose state changed.
        left_alone: True if the chunk lies beyond a gap, or its partition is stopped: it must not be acknowledged.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    left_alone: bool = False


LEFT_ALONE = Applied(left_alone=True)


class ShardWriter:
    """Applies the chunks of one partition in order.

    Args:
        partition: The partition.
        group: Consumer group; names the fence.
        store: The online store.
        outputs: Dead letters and rerouted records.
        rules: Of the fold and of this writer.
        kafka: The partition's log.
        clock: Seconds, monotonic; bounds retries.
        now_ms: Wall clock for what a person reads: `dlq.failed_at` and the time of a stop.
    """

    def __init__(
        self,
        partition: int,
        group: str,
        *,
        store: OnlineStore,
        outputs: SideOutputs,
        rules: WriterRules,
        kafka: PartitionLog,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._partition, self._group, self._shard = partition, group, rules.fold.topology.shard(partition)
        self._store, self._outputs, self._rules, self._kafka = store, outputs, rules, kafka
        self._clock, self._now_ms = clock, now_ms
        self._gaps = Gaps(partition, kafka, accept_retention_gap=rules.accept_retention_gap)
        self._share = RefusalShare(rules.stop_records, rules.stop_share)
        self._one_at_a_time = asyncio.Lock()
        self._begun = False
        self._fence: int | None = None
        self._alone_until: int | None = None
        self._refusals_until = 0
        self._stop: Stop | None = None

    async def apply(self, chunk: Chunk) -> Applied:
        """Applies a chunk, retrying services that are away.

        Raises:
            ServiceUnavailable: A service was away for longer than `retry_s`; nothing was acknowledged.
            RetentionGap: Kafka deleted records that were never applied.
            TopologyMismatch: The fence lies beyond the log's end: another topic, or one that was made anew.
        """
        give_up = self._clock() + self._rules.retry_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with self._one_at_a_time:
                    return await self._apply(chunk)
            except ServiceUnavailable as error:
                if self._clock() + pause > give_up:
                    raise
                log.warning("retrying", partition=self._partition, error=str(error), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def look(self, position: int | None) -> None:
        """A look while nothing is under way: goes on after an operator's word, and heals a fence that went back.

        Args:
            position: The offset the consumer reads next; None if unknown.

        Raises:
            ServiceUnavailable: Redis or Kafka does not answer.
        """
        if self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            await self._begin()
            if self.stopped():
                await self._ask_to_resume()
            elif position is not None:
                self._fence = await self.fence()
                await self._gaps.idle(self._fence, position)

    def stopped(self) -> bool:
        """Whether the partition stands still until an operator says otherwise."""
        return self._stop is not None

    async def fence(self) -> int | None:
        """Last applied offset, as the store has it."""
        return await self._store.fence(self._shard, self._group)

    async def end(self) -> None:
        """The worker ends in order: its successor has nothing to be careful about."""
        if self._begun:
            await self._store.end(self._shard, self._group)

    async def _begin(self) -> None:
        if self._begun:
            return
        self._fence, guard = await self._store.begin(self._shard, self._group)
        self._begun = True
        self._show_stop(guard.stop)
        self._refusals_until = guard.refusals_until
        unfinished = guard.suspect is not None and guard.suspect > (-1 if self._fence is None else self._fence)
        if guard.starts > 1 or unfinished:
            log.warning("careful_start", partition=self._partition, starts=guard.starts, suspect=guard.suspect)
            self._alone_until = guard.suspect if unfinished else -1

    async def _apply(self, chunk: Chunk) -> Applied:
        await self._begin()
        if self.stopped():
            return LEFT_ALONE
        counts: Counter[str] = Counter()
        users = 0
        while records := _after(chunk.records, self._fence):
            expired = await self._gaps.continues(self._fence, records[0].offset, chunk.epoch)
            if expired is None:
                return LEFT_ALONE
            if self._alone_until is not None:
                self._alone_until = max(self._alone_until, records[-1].offset)
                records = records[:1]
            effects = await self._step(_of_one_bucket(records, self._rules.fold.dedupe_window_ms), expired)
            if effects is not None:
                counts.update(effects.counts)
                users += len(effects.engagement)
            elif self.stopped():
                return LEFT_ALONE
        if not counts:
            await self._check_log_holds(self._fence)
        return Applied(dict(counts), users)

    async def _step(self, records: Sequence[Record], expired: int) -> Effects | None:
        """Folds and commits records that follow the fence; None if the fence moved or the partition is stopped."""
        fence, last = self._fence, records[-1].offset
        batch = await self._decoded(records)
        request = batch.request()
        state = await self._store.read_shard(self._shard, self._group, request)
        if state.fence == fence:
            effects = await self._folded(batch, request, state)
            if last >= self._refusals_until and self._share.exceeded_by(len(records), len(batch.refused)):
                await self._stop_at(records[0].offset)
                return None
            await self._outputs.send(batch.refused, batch.misrouted, partition=self._partition, now_ms=self._now_ms())
            if expired:
                effects.counts["expired"] = expired
            if await self._store.commit(self._shard, self._group, fence, last, effects):
                self._committed(last, len(records), len(batch.refused))
                return effects
        self._fence = await self.fence()
        log.info("fence_moved", partition=self._partition, expected=fence, received=self._fence)
        return None

    def _committed(self, last: int, records: int, refused: int) -> None:
        self._fence = last
        self._gaps.closed()
        self._share.add(records, refused)
        if self._alone_until is not None and last >= self._alone_until:
            self._alone_until = None

    async def _decoded(self, records: Sequence[Record]) -> Batch:
        """Decodes; a record that is begun on its own once too often is refused unread."""
        if self._alone_until is not None:
            (record,) = records
            tries = await self._store.suspect(self._shard, self._group, record.offset)
            if tries > TRIES_ALONE:
                log.error("record_ends_workers", partition=self._partition, offset=record.offset, tries=tries - 1)
                detail = f"expected a record that can be applied, received the end of the worker {tries - 1} times"
                await self._store.condemn(self._shard, self._group, record.offset)
                refused = Refused(record, InvalidEvent(RefusalReason.CRASHED_WORKER, detail))
                return Batch(refused=[refused], bucket=record.timestamp // self._rules.fold.dedupe_window_ms)
        return decode_records(records, self._partition, self._rules.fold)

    async def _folded(self, batch: Batch, request: ShardRead, state: ShardState) -> Effects:
        """The fold; an event it keeps failing on becomes a dead letter and the rest is folded without it."""
        try:
            return await self._fold_patiently(batch, request, state)
        except Exception:
            log.exception("fold_failed", partition=self._partition)
        for event, source, digest in list(zip(batch.events, batch.sources, batch.ids, strict=True)):
            alone = Batch([event], [source], [digest], bucket=batch.bucket)
            try:
                await self._fold_patiently(alone, request, replace(state, seen=[False]))
            except Exception as error:  # noqa: BLE001 - whatever it is, the partition goes on
                at = batch.ids.index(digest)
                batch.refused.append(Refused(source, InvalidEvent(RefusalReason.FOLD_FAILED, repr(error))))
                state = replace(state, seen=[*state.seen[:at], *state.seen[at + 1 :]])
                del batch.events[at], batch.sources[at], batch.ids[at]
        return await self._fold_patiently(batch, request, state)

    async def _fold_patiently(self, batch: Batch, request: ShardRead, state: ShardState) -> Effects:
        """The fold, tried again after growing pauses: what fails for want of memory may succeed."""
        for pause in FOLD_PAUSES_S:
            try:
                return fold(batch, request, state, self._rules.fold)
            except Exception as error:  # noqa: BLE001 - the last try raises it
                log.warning("fold_tried", partition=self._partition, error=repr(error), pause_s=pause)
            await asyncio.sleep(pause)
        return fold(batch, request, state, self._rules.fold)

    async def _stop_at(self, offset: int) -> None:
        limit = self._rules.stop_share
        reason = f"more than {limit:.0%} of the last {self._rules.stop_records} records or more would be dead letters"
        stop = Stop(offset, reason, self._now_ms())
        await self._store.stop_partition(self._shard, self._group, stop)
        self._show_stop(stop)

    def _show_stop(self, stop: Stop | None) -> None:
        self._stop = stop
        metrics.STOPPED.labels(str(self._partition)).set(stop is not None)
        if stop is not None:
            log.error("partition_stopped", partition=self._partition, offset=stop.offset, reason=stop.reason)

    async def _ask_to_resume(self) -> None:
        guard = await self._store.guard(self._shard, self._group)
        if guard.stop is not None:
            return
        self._fence = await self.fence()
        log_start, _ = await self._kafka.bounds()
        await self._gaps.reread(log_start if self._fence is None else self._fence + 1)
        self._share.clear()
        self._refusals_until = guard.refusals_until
        self._show_stop(None)
        log.info("partition_resumed", partition=self._partition, refusals_until=guard.refusals_until)

    async def _check_log_holds(self, fence: int | None) -> None:
        """A fence beyond the log's end would make every new record look applied."""
        _, log_end = await self._kafka.bounds()
        if fence is not None and fence >= log_end:
            raise TopologyMismatch(
                f"expected the log of partition {self._partition} to reach the fence {fence}, received a log that ends "
                f"at {log_end}: the topic was made anew, or Redis belongs to another one"
            )


def _after(records: Sequence[Record], fence: int | None) -> Sequence[Record]:
    """The records behind the fence left out."""
    if fence is None or records[0].offset > fence:
        return records
    return records[bisect_right(records, fence, key=lambda record: record.offset) :]


def _of_one_bucket(records: Sequence[Record], window_ms: int) -> Sequence[Record]:
    """The first records that share a dedupe bucket, so that no chunk boundary decides what a duplicate is."""
    bucket = records[0].timestamp // window_ms
    if records[-1].timestamp // window_ms == bucket:
        return records
    for at, record in enumerate(records):
        if record.timestamp // window_ms != bucket:
            return records[:at]
    return records
