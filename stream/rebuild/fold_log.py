"""Rebuild: the topic folded into the shards of a new generation, beside the ones in use.

For a Redis that lost its state, for settings that change what is stored (half-life, weights), and for a topic whose
partition count was raised: every event goes to the shard of its learner under the new count, wherever it lies in the
log. The fold is the workers' own. This module never touches the shards in use, and holds the whole state in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from recsys.errors import InvalidEvent, RefusalReason, TopologyMismatch
from recsys.kafka.records import Record
from recsys.keys import Partition, Shard, partition_of_shard
from recsys.online_store import Effects, ShardStore
from recsys.online_store.contents import ShardContents
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import CounterAdd, HashText, Operation, PutValues, SortedSetMark
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
from stream.engagement.record_fold import Event
from stream.engagement.steps import read_state
from stream.rebuild.spans import Arrived, Span, SpanReader

GROUP = "rebuild"
ENTRIES_A_COMMIT = 10_000
ONE_AT_A_TIME = "nothing was switched; let one rebuild end before the next begins"

_Entries = TypeVar("_Entries", bound=Sized)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of how one partition was filled and read so far.

    Attributes:
        partitions: The partition count that it is read under.
        since: Records before this offset lie where a lower count put them, and are applied where they lie.
        quarantined: Offsets of records that ended a worker; they are refused unread.
    """

    partitions: int
    since: int
    quarantined: frozenset[int] = frozenset()


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

    async def add(self, arrived: Iterable[Arrived]) -> dict[Partition, Batch]:
        """Folds records in order of their arrival; returns the refused and the misrouted ones of each partition."""
        aside: dict[Partition, Batch] = {}
        batches: dict[Shard, Batch] = {}
        for partition, record in arrived:
            self.records += 1
            try:
                event = self._decoded(partition, record)
                target = self._rerouted_to(partition, record, event.user_id)
            except InvalidEvent as error:
                aside.setdefault(partition, Batch()).refused.append(Refused(record, error))
                continue
            if target is not None:
                aside.setdefault(partition, Batch()).misrouted.append(Misrouted(record, event.user_id, target))
                continue
            shard = self._rules.topology.shard_of(event.user_id)
            batches.setdefault(shard, Batch()).accept(event, record)
        handed_on = await self._fold(batches)
        await self._fold({self._rules.topology.shard(partition): batch for partition, batch in aside.items()})
        for partition, records in handed_on.items():
            aside.setdefault(partition, Batch()).misrouted.extend(records)
        return aside

    def _rerouted_to(self, partition: Partition, record: Record, user_id: str) -> Partition | None:
        """The partition that a record is rerouted to, where its copy is the one that counts; None for none."""
        past = self._past.get(partition) or Past(self._rules.topology.partitions, 0)
        if record.offset < past.since:
            return None
        try:
            return target_of_misrouted(record, user_id, partition, past.partitions)
        except InvalidEvent:
            self.quarantined.setdefault(partition, set()).add(record.offset)
            raise

    def _decoded(self, partition: Partition, record: Record) -> Event:
        past = self._past.get(partition)
        if past is not None and record.offset in past.quarantined:
            raise InvalidEvent(RefusalReason.CRASHED_WORKER, "poison record: workers ended while they applied it")
        return decode_record(record)

    async def _fold(self, batches: Mapping[Shard, Batch]) -> dict[Partition, list[Misrouted]]:
        """Folds the batch of each shard; returns what merges hand on, by the partition that it comes from."""
        handed_on: dict[Partition, list[Misrouted]] = {}
        for shard, batch in batches.items():
            state = await read_state(self.memory, shard, GROUP, batch, self._rules)
            assert state is not None  # noqa: S101 - nobody else moves the fence of this memory
            effects = fold(batch, state, self._rules)
            await self.memory.commit(shard, GROUP, state.fence, self._commits[shard], effects)
            self._commits[shard] += 1
            if effects.handed_on:
                handed_on[partition_of_shard(shard)] = [*produced(effects.handed_on, self._rules)]
        return handed_on


async def fold_log(
    reader: SpanReader,
    spans: Sequence[Span],
    bulk: BulkFold,
    outputs: SideOutputs,
    *,
    now_ms: Callable[[], int],
    progress: Callable[[int], None],
) -> None:
    """Folds what the reader reads, and sends what workers would have sent of records that none has passed yet.

    Refused ones become dead letters, misrouted ones are produced again into their learner's partition. Their copies lie
    after the spans, for workers to apply; those of records that workers have passed are in the log.

    Raises:
        ServiceUnavailable: Kafka does not answer.
    """
    fresh = {span.partition for span in spans if not span.applied}
    async for arrived in reader.read():
        for partition, batch in (await bulk.add(arrived)).items():
            if partition in fresh:
                await outputs.send(batch.refused, batch.misrouted, partition=partition, now_ms=now_ms())
        progress(bulk.records)


async def write_shard(contents: ShardContents, store: ShardStore, shard: Shard, *, group: str, fence: int) -> None:
    """Writes one empty shard that no process reads yet, in commits of bounded size.

    Every learner is marked dirty, so that the workers fill the cached lists after the switch. The fence of a partition
    that has no records is −1: the record behind it is the first.

    Raises:
        ServiceUnavailable: Redis does not answer.
        TopologyMismatch: The shard is not empty, or somebody else changes it.
    """
    expected: int | None = None
    operations = ([operation] for operation in _operations(contents))
    for effects in map(Effects, chain(operations, [[]])):
        if not await store.commit(shard, group, expected, fence, effects):
            raise TopologyMismatch(f"shard {shard} is written by another rebuild too: {ONE_AT_A_TIME}")
        expected = fence


def _operations(contents: ShardContents) -> Iterator[Operation]:
    """The state of every projection, whatever it is, as operations of bounded size."""
    for state, hashes in contents.values.items():
        for values in _in_parts({owner: hashed for owner, hashed in hashes.items() if hashed}):
            yield PutValues(state, values, indexed=state in contents.indexed)
    for state, records in contents.texts.items():
        yield from _texts(state, records)
    for state, marks in contents.marks.items():
        yield from (SortedSetMark(state, part) for part in _slices(marks, ENTRIES_A_COMMIT))
    for state, amounts in contents.counters.items():
        yield CounterAdd(state, amounts)


def _texts(state: str, records: Mapping[str, Mapping[str, str]]) -> Iterator[Operation]:
    """Hashes of text by the fields they have: an operation writes the same fields for each owner."""
    alike: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
    for owner, fields in records.items():
        if fields:
            alike.setdefault(tuple(fields), {})[owner] = tuple(fields.values())
    for names, texts in alike.items():
        yield from (HashText(state, names, part) for part in _in_parts(texts))


def _slices(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


def _in_parts(owners: Mapping[str, _Entries]) -> Iterator[dict[str, _Entries]]:
    """As few mappings as keep each below `ENTRIES_A_COMMIT`, as far as one owner's entries do."""
    part: dict[str, _Entries] = {}
    size = 0
    for owner, entries in owners.items():
        if part and size + len(entries) > ENTRIES_A_COMMIT:
            yield part
            part, size = {}, 0
        part[owner] = entries
        size += len(entries)
    if part:
        yield part
