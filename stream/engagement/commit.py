"""One partition's records into the store, exactly once.

The truth is the fence in Redis, not Kafka's committed offset: a chunk is folded from state read together with the
fence and committed only if the fence still is that one. So a second owner, a retry after a lost reply and a
redelivery change nothing, and whatever was skipped is found as a gap and read again. `ShardWriter` stays whole: its
fence is read and moved under one lock only, and what may do that is seen in one place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from recsys.errors import ServiceUnavailable, TopologyMismatch, UnreadableState
from recsys.kafka.records import Chunk, Fetch, Record
from recsys.keys import Partition
from recsys.online_store import Effects, Guards, ShardStore
from stream.engagement.fold import FoldRules, decode_records, produced
from stream.engagement.gaps import Expired, Gaps, Observation, PartitionLog
from stream.engagement.isolation import Isolation
from stream.engagement.metrics import PartitionMetrics
from stream.engagement.outputs import SideOutputs
from stream.engagement.patient_fold import fold_patiently
from stream.engagement.steps import after, read_state, refusal

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class WriterRules:
    """What a shard's writer is configured with, beside the fold.

    Attributes:
        fold: Weights, decay, topology.
        retry_s: How long a service may be away before `apply` gives up.
        longest_pause_s: Between two tries, however long it has been away.
        stop_records: Records the dead-letter stop rule looks at.
        stop_share: The share of refused ones that is still normal, 0..1.
    """

    fold: FoldRules
    retry_s: float
    stop_records: int = 1000
    stop_share: float = 0.5
    longest_pause_s: float = LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a chunk.

    Attributes:
        counts: Records by outcome, as the shard counts them; empty if all were applied before.
        users: Users whose state changed.
        left_alone: True if the chunk lies beyond a gap or will be read again, or its partition is stopped: it must not
            be acknowledged.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    left_alone: bool = False


LEFT_ALONE = Applied(left_alone=True)


class PartitionStore(ShardStore, Guards, Protocol):
    """What a partition's writer uses of the online store."""


class ShardWriter:
    """Applies the chunks of one partition in order.

    Args:
        partition: The partition.
        group: Consumer group; names the fence.
        store: The online store.
        outputs: Dead letters and rerouted records.
        rules: Of the fold and of this writer.
        kafka: The partition's log.
        metrics: The partition's metrics.
        clock: Seconds, monotonic; bounds retries.
        now_ms: Wall clock for what a person reads: `dlq.failed_at` and the time of a stop.
    """

    def __init__(
        self,
        partition: Partition,
        group: str,
        *,
        store: PartitionStore,
        outputs: SideOutputs,
        rules: WriterRules,
        kafka: PartitionLog,
        metrics: PartitionMetrics,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._partition, self._group, self._shard = partition, group, rules.fold.topology.shard(partition)
        self._store, self._outputs, self._rules, self._kafka = store, outputs, rules, kafka
        self._metrics, self._clock, self._now_ms = metrics, clock, now_ms
        self._gaps = Gaps(partition, kafka)
        self._isolation = Isolation(
            partition,
            self._shard,
            group,
            store=store,
            metrics=metrics,
            stop_records=rules.stop_records,
            stop_share=rules.stop_share,
            clock=clock,
            now_ms=now_ms,
        )
        self._one_at_a_time = asyncio.Lock()
        self._fence: int | None = None
        self._ended = False

    async def apply(self, chunk: Chunk) -> Applied:
        """Applies a chunk, retrying services that are away.

        State that no retry mends (`UnreadableState`) stops the partition, and only it.

        Raises:
            ServiceUnavailable: A service was away for longer than `retry_s`; nothing was acknowledged.
            TopologyMismatch: The fence lies beyond the log's end: another topic, or one that was made anew.
        """
        give_up = self._clock() + self._rules.retry_s
        pause = min(FIRST_PAUSE_S, self._rules.longest_pause_s)
        while True:
            try:
                async with self._one_at_a_time:
                    return await self._apply_or_stop(chunk)
            except ServiceUnavailable as error:
                if self._clock() + pause > give_up:
                    raise
                log.warning("retrying", partition=self._partition, error=str(error), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._rules.longest_pause_s)

    async def check_idle(self) -> bool:
        """The idle check; returns whether it took place, and so whether all that it asked was answered.

        Goes on after an operator resumed the partition, seeks back to a fence that went back, and moves the fence over
        an offset gap at the end of the log.

        Raises:
            ServiceUnavailable: Redis or Kafka does not answer.
        """
        if self._one_at_a_time.locked():
            return False
        try:
            observed = None if self.stopped() else await self._gaps.observe()  # `end` need not wait for Kafka's answer
        except ServiceUnavailable:
            if self._ended:  # the partition is another worker's by now
                return False
            raise
        async with self._one_at_a_time:
            if self._ended:
                return False
            try:
                await self._resume_or_heal(observed)
            except UnreadableState as error:
                await self._stop_at_unreadable(error)
        return True

    async def _resume_or_heal(self, observed: Observation | None) -> None:
        if self.stopped():
            await self._resume_if_allowed()
            return
        await self._begin()
        if observed is None or self.stopped():
            return
        self._fence = await self.fence()
        gap_end = await self._gaps.check_idle(self._fence, observed)
        if gap_end is not None:  # no record lies there: the fence may pass it before retention hides that
            await self._commit(gap_end - 1, Effects())

    def stopped(self) -> bool:
        """Whether the partition stands still until an operator acts."""
        return self._isolation.stopped()

    @property
    def applied(self) -> int | None:
        """Last applied offset, as far as this writer knows."""
        return self._fence

    async def fence(self) -> int | None:
        """Last applied offset, as the store has it."""
        return await self._store.fence(self._shard, self._group)

    async def end(self) -> None:
        """Ends in order, after the step in work: the successor need not enter isolation mode.

        Chunks that come later are left alone. That they are not applied twice is up to the fence; this keeps an old
        and a new owner from taking turns at one partition.
        """
        self._ended = True
        self._metrics.close()
        async with self._one_at_a_time:
            await self._isolation.end()

    async def _begin(self) -> None:
        if not self._isolation.begun:
            self._fence = await self._isolation.begin()

    async def _apply_or_stop(self, chunk: Chunk) -> Applied:
        try:
            return await self._apply(chunk)
        except UnreadableState as error:
            await self._stop_at_unreadable(error)
            return LEFT_ALONE

    async def _stop_at_unreadable(self, error: UnreadableState) -> None:
        await self._isolation.stop_at_unreadable(0 if self._fence is None else self._fence + 1, error)

    async def _apply(self, chunk: Chunk) -> Applied:
        if self._is_stale(chunk) or self.stopped():
            return LEFT_ALONE
        await self._begin()
        if self.stopped():
            return LEFT_ALONE
        counts: Counter[str] = Counter()
        users = 0
        while records := after(chunk.records, self._fence):
            if self._is_stale(chunk):
                return LEFT_ALONE
            expired = await self._expired_before(chunk.fetch)
            if expired is None:
                return LEFT_ALONE
            effects = await self._step(self._isolation.step(records), expired)
            if effects is not None:
                counts.update(effects.counts)
                users += effects.users
            elif self.stopped():
                return LEFT_ALONE
        if not counts:
            await self._check_log_holds(self._fence)
        return Applied(dict(counts), users)

    async def _expired_before(self, fetch: Fetch) -> int | None:
        """How many offsets between fence and fetch retention deleted; None if what it brought must be left alone."""
        try:
            return await self._gaps.continues(self._fence, fetch, expired_until=self._isolation.expired_until)
        except Expired as gap:
            stood, self._fence = self._fence, await self.fence()
            if self._fence == stood:  # else another owner moved it meanwhile, and what is gone was applied
                await self._isolation.stop_at_expired(gap.due, gap.log_start)
            return None

    def _is_stale(self, chunk: Chunk) -> bool:
        """Whether the chunk was fetched before its partition was revoked: the next owner reads it again.

        One fetched before a seek is not: if it follows the fence, it is as good as what the seek brings.
        """
        return self._ended or chunk.fetch.epoch < self._kafka.owned_since()

    async def _step(self, records: Sequence[Record], expired: int) -> Effects | None:
        """Folds and commits records that follow the fence; None if the fence moved or the partition is stopped."""
        fence, last, rules = self._fence, records[-1].offset, self._rules.fold
        poison = await self._isolation.quarantined(records)
        batch = decode_records(records, self._partition, rules) if poison is None else refusal(poison)
        batch.expired = expired
        state = await read_state(self._store, self._shard, self._group, batch, rules)
        if state is not None and state.fence == fence:
            effects = await fold_patiently(batch, state, rules)
            refused = len(batch.refused)
            if await self._isolation.stops(records, refused):
                return None
            rerouted = [*batch.misrouted, *produced(effects.handed_on, rules)]
            await self._outputs.send(batch.refused, rerouted, partition=self._partition, now_ms=self._now_ms())
            if await self._commit(last, effects):
                self._isolation.passed(records, refused)
                return effects
        self._fence = await self.fence()
        log.info("fence_moved", partition=self._partition, expected=fence, received=self._fence)
        return None

    async def _commit(self, last: int, effects: Effects) -> bool:
        """Whether the fence still was where it is believed to be: then the effects are applied and it is moved."""
        if not await self._store.commit(self._shard, self._group, self._fence, last, effects):
            return False
        self._fence = last
        self._metrics.fence(last)
        return True

    async def _resume_if_allowed(self) -> None:
        """Goes on once Redis keeps no stop; what it then reads first, fence and log, may stop it again."""
        if not await self._isolation.may_resume():
            return
        fence = await self.fence()
        log_start, _ = await self._kafka.bounds()
        await self._gaps.seek(log_start if fence is None else max(fence + 1, log_start))
        self._fence = fence
        await self._isolation.resume()

    async def _check_log_holds(self, fence: int | None) -> None:
        """A fence beyond the log's end would make every new record look applied."""
        _, log_end = await self._kafka.bounds()
        if fence is not None and fence >= log_end:
            raise TopologyMismatch(
                f"the fence of partition {self._partition} is {fence} and its log ends at {log_end}: the topic was "
                "made anew, or this Redis belongs to another one; use the Redis of this topic, or run `recsys rebuild`"
            )
