"""Rebuild: the topic folded into the shards of a new generation, beside the ones in use.

For a Redis that lost its state, for settings that change what is stored (half-life, weights), and for a topic whose
partition count was raised: every event goes to the shard of its learner under the new count, wherever it lies in the
log. The fold is the workers' own. This module never touches the shards in use, and holds the whole state in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from recsys.errors import InvalidEvent, RefusalReason
from recsys.kafka.records import Record
from recsys.keys import Partition, Shard
from recsys.online_store.memory import MemoryStore
from stream.engagement.fold import (
    Batch,
    FoldRules,
    Misrouted,
    Refused,
    decode_record,
    fold,
    produced,
    target_of_misrouted,
)
from stream.engagement.outputs import SideOutputs
from stream.engagement.record_changes import Event
from stream.engagement.steps import read_state
from stream.rebuild.spans import Arrived, SpanReader

GROUP, MERGE = "rebuild", "merge"


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of how one partition was filled and read so far.

    Attributes:
        partitions: The partition count that it is read under.
        since: Records before this offset lie where a lower count put them, and are applied where they lie.
        quarantined: Offsets of records that ended a worker; they are refused unread.
        passed: Types of events that workers have passed, so that what goes with them is in the log: copies of
            misrouted ones, records that merges hand on. Empty where no worker has passed anything.
    """

    partitions: int
    since: int
    quarantined: frozenset[int] = frozenset()
    passed: frozenset[str] = frozenset()


@dataclass(slots=True)
class Unsent:
    """What workers would have sent of records that none has passed yet.

    Attributes:
        refused: Partition → records that become dead letters.
        rerouted: Records to be produced into their learner's partition, those that merges hand on included.
    """

    refused: dict[Partition, list[Refused]] = field(default_factory=dict)
    rerouted: list[Misrouted] = field(default_factory=list)


@dataclass(slots=True)
class _Batch(Batch):
    """A batch of records of which all or none were passed by workers that hand records of merged learners on."""

    handed_on: bool = False


class BulkFold:
    """Folds a log into memory, every event into the shard of its learner.

    Args:
        rules: Of the fold; their topology is the new one.
        past: Partition → what is known of it; absent where nothing is, as of one that no worker has read.

    Attributes:
        memory: The new shards.
        records: Folded so far.
        quarantined: Partition → offsets of records that were refused for what only workers know of them; the next
            rebuild has to refuse them too.
    """

    def __init__(self, rules: FoldRules, *, past: Mapping[Partition, Past]) -> None:
        self._rules, self._past = rules, past
        self._commits: Counter[Shard] = Counter()
        self.quarantined = {partition: set(one.quarantined) for partition, one in past.items()}
        self.memory = MemoryStore()
        self.records = 0

    async def add(self, arrived: Iterable[Arrived]) -> Unsent:
        """Folds records in order of their arrival; returns what is to be sent of those that no worker has passed."""
        unsent = Unsent()
        aside: dict[Partition, Batch] = {}
        batches: dict[Shard, _Batch] = {}
        for partition, record in arrived:
            self.records += 1
            past = self._past_of(partition)
            try:
                event = self._decoded(partition, record)
                target = self._rerouted_to(partition, record, event.user_id)
            except InvalidEvent as error:
                refused = Refused(record, error)
                aside.setdefault(partition, Batch()).refused.append(refused)
                if not past.passed:
                    unsent.refused.setdefault(partition, []).append(refused)
                continue
            if target is not None:
                misrouted = Misrouted(record, event.user_id, target)
                aside.setdefault(partition, Batch()).misrouted.append(misrouted)
                if event.type not in past.passed:
                    unsent.rerouted.append(misrouted)
                continue
            shard, handed_on = self._rules.topology.shard_of(event.user_id), MERGE in past.passed
            batch = batches.get(shard)
            if batch is not None and batch.handed_on is not handed_on:  # a topic that grew: one part of it was passed
                unsent.rerouted += await self._fold(shard, batch)
                batch = None
            if batch is None:
                batch = batches[shard] = _Batch(handed_on=handed_on)
            batch.accept(event, record)
        for shard, batch in batches.items():
            unsent.rerouted += await self._fold(shard, batch)
        for partition, counted in aside.items():
            await self._fold(self._rules.topology.shard(partition), counted)
        return unsent

    def _past_of(self, partition: Partition) -> Past:
        return self._past.get(partition) or Past(self._rules.topology.partitions, 0)

    def _rerouted_to(self, partition: Partition, record: Record, user_id: str) -> Partition | None:
        """The partition that a record is rerouted to, where its copy is the one that counts; None for none."""
        past = self._past_of(partition)
        if record.offset < past.since:
            return None
        try:
            return target_of_misrouted(record, user_id, partition, past.partitions)
        except InvalidEvent:
            self.quarantined.setdefault(partition, set()).add(record.offset)
            raise

    def _decoded(self, partition: Partition, record: Record) -> Event:
        if record.offset in self._past_of(partition).quarantined:
            raise InvalidEvent(RefusalReason.CRASHED_WORKER, "poison record: workers ended while they applied it")
        return decode_record(record)

    async def _fold(self, shard: Shard, batch: Batch) -> Iterable[Misrouted]:
        """Folds a batch of one shard; returns what merges hand on, unless it is in the log."""
        state = await read_state(self.memory, shard, GROUP, batch, self._rules)
        assert state is not None  # noqa: S101 - nobody else moves the fence of this memory
        effects = fold(batch, state, self._rules)
        await self.memory.commit(shard, GROUP, state.fence, self._commits[shard], effects)
        self._commits[shard] += 1
        sent = isinstance(batch, _Batch) and batch.handed_on
        return [] if sent else produced(effects.handed_on, self._rules)


async def fold_log(
    reader: SpanReader,
    bulk: BulkFold,
    outputs: SideOutputs,
    *,
    now_ms: Callable[[], int],
    progress: Callable[[int], None],
) -> None:
    """Folds what the reader reads, and sends what workers would have sent of records that none has passed yet.

    Refused ones become dead letters; misrouted ones, and records of merged learners, are produced into their learner's
    partition. They lie after the spans, for workers to apply; those of records that workers have passed are in the log.

    Raises:
        ServiceUnavailable: Kafka does not answer.
    """
    async for arrived in reader.read():
        unsent = await bulk.add(arrived)
        for partition, refused in unsent.refused.items():
            await outputs.send(refused, [], partition=partition, now_ms=now_ms())
        if unsent.rerouted:
            await outputs.send([], unsent.rerouted, partition=unsent.rerouted[0].partition, now_ms=now_ms())
        progress(bulk.records)
