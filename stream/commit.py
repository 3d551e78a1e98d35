"""One partition's records into the store, exactly once.

The truth is the fence in Redis, not Kafka's committed offset: a chunk is folded from state read together with the
fence and committed only if the fence still is that one. So a second owner, a retry after a lost reply and a
redelivery change nothing, and whatever was skipped is found as a gap and read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from recsys.errors import InvalidEvent, RefusalReason, RetentionGap, ServiceUnavailable, TopologyMismatch
from recsys.online_store import Effects, OnlineStore, ShardRead, ShardState
from stream.chunks import Chunk, Record
from stream.dead_letters import SideOutputs
from stream.fold import Batch, FoldRules, Refused, decode_records, fold

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class PartitionLog(Protocol):
    """What the writer asks of the consumer about its own partition."""

    async def seek(self, offset: int) -> int:
        """Moves the position; returns the epoch of chunks fetched from there."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """The log's first offset and the offset after its last."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a chunk.

    Attributes:
        counts: Records by outcome (accepted, duplicate, refused, rerouted); empty if all were behind the fence.
        users: Users whose state changed.
        left_alone: True if the chunk lies beyond a gap: it is not applied now and must not be acknowledged.
    """

    counts: dict[str, int] = field(default_factory=dict)
    users: int = 0
    left_alone: bool = False


BEHIND_THE_FENCE = Applied()
LEFT_ALONE = Applied(left_alone=True)


class ShardWriter:
    """Applies the chunks of one partition in order.

    Args:
        partition: The partition, which is the shard.
        group: Consumer group; names the fence.
        store: The online store.
        outputs: Dead letters and rerouted records.
        rules: Weights, decay, topology.
        kafka: The partition's log.
        clock: Seconds, monotonic; bounds retries.
        now_ms: Wall clock for the dead letters' `dlq.failed_at`.
        retry_s: How long a service may be away before `apply` gives up.
        accept_retention_gap: The operator's word that records deleted by retention may be passed.
    """

    def __init__(
        self,
        partition: int,
        group: str,
        *,
        store: OnlineStore,
        outputs: SideOutputs,
        rules: FoldRules,
        kafka: PartitionLog,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        retry_s: float,
        accept_retention_gap: bool = False,
    ) -> None:
        self._partition, self._group = partition, group
        self._store, self._outputs, self._rules, self._kafka = store, outputs, rules, kafka
        self._clock, self._now_ms, self._retry_s = clock, now_ms, retry_s
        self._accept_retention_gap = accept_retention_gap
        self._fence: int | None = None
        self._fence_known = False
        self._sought: tuple[int, int] | None = None
        self._hole_seen: tuple[int, int] | None = None

    async def apply(self, chunk: Chunk) -> Applied:
        """Applies a chunk, retrying services that are away.

        Raises:
            ServiceUnavailable: A service was away for longer than `retry_s`; nothing was acknowledged.
            RetentionGap: Kafka deleted records that were never applied.
            TopologyMismatch: The fence lies beyond the log's end: another topic, or one that was made anew.
        """
        give_up = self._clock() + self._retry_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await self._apply(chunk)
            except ServiceUnavailable as error:
                if self._clock() + pause > give_up:
                    raise
                log.warning("retrying", partition=self._partition, error=str(error), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _apply(self, chunk: Chunk) -> Applied:
        if not self._fence_known:
            self._fence = await self._store.fence(self._partition, self._group)
            self._fence_known = True
        while True:
            fence = self._fence
            records = _after(chunk.records, fence)
            if not records:
                await self._check_log_holds(fence)
                return BEHIND_THE_FENCE
            if not await self._continues(fence, records[0].offset, chunk.epoch):
                return LEFT_ALONE
            batch = decode_records(records, self._partition, self._rules)
            request = batch.request()
            state = await self._store.read_shard(self._partition, self._group, request)
            if state.fence == fence:
                effects = self._folded(batch, request, state)
                await self._outputs.send(
                    batch.refused, batch.misrouted, partition=self._partition, now_ms=self._now_ms()
                )
                if await self._commit(fence, records[-1].offset, effects):
                    return Applied(effects.counts, len(effects.engagement))
            self._fence = await self._store.fence(self._partition, self._group)
            log.info("fence_moved", partition=self._partition, expected=fence, received=self._fence)

    async def fence(self) -> int | None:
        """Last applied offset, as the store has it."""
        return await self._store.fence(self._partition, self._group)

    async def _commit(self, fence: int | None, last: int, effects: Effects) -> bool:
        if not await self._store.commit(self._partition, self._group, fence, last, effects):
            return False
        self._fence = last
        self._sought = self._hole_seen = None
        return True

    def _folded(self, batch: Batch, request: ShardRead, state: ShardState) -> Effects:
        """The fold; an event it fails on becomes a dead letter and the rest is folded without it."""
        try:
            return fold(batch, request, state, self._rules)
        except Exception:
            log.exception("fold_failed", partition=self._partition)
        for event, source, digest in list(zip(batch.events, batch.sources, batch.ids, strict=True)):
            alone = Batch([event], [source], [digest], bucket=batch.bucket)
            try:
                fold(alone, request, replace(state, seen=[False]), self._rules)
            except Exception as error:  # noqa: BLE001 - whatever it is, the partition goes on
                at = batch.ids.index(digest)
                batch.refused.append(Refused(source, InvalidEvent(RefusalReason.FOLD_FAILED, repr(error))))
                state = replace(state, seen=[*state.seen[:at], *state.seen[at + 1 :]])
                del batch.events[at], batch.sources[at], batch.ids[at]
        return fold(batch, request, state, self._rules)

    async def _continues(self, fence: int | None, first: int, epoch: int) -> bool:
        """Whether `first` is what follows the fence; if not, seeks back, and the chunk is to be left alone."""
        if fence is not None and first == fence + 1:
            return True
        log_start, _ = await self._kafka.bounds()
        due = log_start if fence is None else fence + 1
        if first <= due:
            return True
        if self._sought is not None and self._sought[0] == due:
            if epoch < self._sought[1]:
                return False  # fetched before the seek: what was asked for is still to come
            if epoch == self._sought[1] and await self._is_hole(due, first, log_start):
                return True
        log.warning("gap", partition=self._partition, due=due, received=first)
        self._sought = (due, await self._kafka.seek(due))
        return False

    async def _is_hole(self, due: int, first: int, log_start: int) -> bool:
        """Whether the offsets from `due` up to `first` hold no records any more. Believed at the second look."""
        if log_start > due and not self._accept_retention_gap:
            raise RetentionGap(
                f"expected offset {due} of partition {self._partition}, received a log that starts at {log_start}: "
                f"retention deleted {log_start - due} records that were never applied "
                "(start the worker with --accept-retention-gap to pass them)"
            )
        if self._hole_seen != (due, first):
            self._hole_seen = (due, first)
            return False
        log.warning("hole", partition=self._partition, due=due, first=first, log_start=log_start)
        return True

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
    return [record for record in records if record.offset > fence]
