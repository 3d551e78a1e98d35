"""The fold: records of one partition and the state they touch, to the effects they have.

Pure: no I/O and no clock. A record's own timestamp (set by the broker when it appended it) is its arrival time, so
every worker, redelivery, rebuild and oracle folds the same records to the same state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import Interaction, decode, decode_flat
from recsys.handed_on import CONTROL_HEADER, HANDED_ON, HandedOn, decode_handed_on, encode_handed_on, is_handed_on
from recsys.kafka.records import MAX_PRODUCED_BYTES, Record, headers_bytes
from recsys.keys import Partition, Topology, partition_of
from recsys.online_store import Effects, ShardState
from recsys.online_store.operations import Read
from recsys.record import Record as CourseRecord
from recsys.record import RecordRules
from recsys.settings import Settings
from stream.engagement.projections import REGISTERED, Events, Projection
from stream.engagement.projections.course_sums import more_reads_of_sums
from stream.engagement.record_changes import Event
from stream.engagement.record_fold import fold_records
from stream.engagement.record_reads import more_reads_of_records

DECODED_AT_ONCE = 64
"""Records whose values are decoded together. Those of an unusual one among them are decoded one by one."""

COURSES_HANDED_ON_AT_ONCE = 500
"""Records in one handed-on value: with the longest ids and records 600 kB, below what a broker takes."""


@dataclass(frozen=True, slots=True)
class FoldRules:
    """What the fold is configured with.

    Attributes:
        records: Weights, decay and limits of records.
        topology: Partition count of the topic and generation of the shards.
        max_courses: Records kept per learner; a quarter more are put up with between two evictions.
        more_projections: Run after the registered ones.
        projections: All that run.
    """

    records: RecordRules
    topology: Topology
    max_courses: int = 2000
    more_projections: tuple[Projection, ...] = ()
    projections: tuple[Projection, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "projections", (*REGISTERED, *self.more_projections))

    @classmethod
    def of(cls, settings: Settings, topology: Topology) -> FoldRules:
        """The rules the settings name."""
        return cls(records=settings.record_rules, topology=topology, max_courses=settings.engagement_max_courses)


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that becomes a dead letter."""

    record: Record
    error: InvalidEvent


@dataclass(frozen=True, slots=True)
class Misrouted:
    """A record that lies in another partition than its user id hashes to."""

    record: Record
    user_id: str
    partition: Partition


class Produced(NamedTuple):
    """A Kafka record that the fold makes itself."""

    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]
    key: bytes | None
    offset: int = -1
    timestamp: int = -1


@dataclass(slots=True)
class Batch:
    """Decoded records of one partition.

    Attributes:
        events: Accepted so far, in offset order.
        sources: The record of each event.
        refused: Records to dead-letter.
        misrouted: Records to produce again under their right key.
        expired: Offsets before the batch that retention deleted, if an operator let them be passed.
    """

    events: list[Event] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    misrouted: list[Misrouted] = field(default_factory=list)
    expired: int = 0

    def accept(self, event: Event, record: Record) -> None:
        """Adds an event that belongs to this shard."""
        self.events.append(event)
        self.sources.append(record)

    def reads(self, rules: FoldRules) -> list[Read]:
        """The state that the fold of this batch needs first."""
        events = Events(self.events, rules.records)
        return [read for projection in rules.projections for read in projection.reads(events)]

    def more_reads(self, state: ShardState, rules: FoldRules) -> list[Read]:
        """What it needs beyond the state that was read: whole learners, then blocks to settle. Rarely any."""
        return more_reads_of_records(self.events, state, rules.max_courses) or more_reads_of_sums(state)


def decode_record(record: Record) -> Event:
    """What a record of the interactions topic holds.

    Raises:
        InvalidEvent: Neither an event nor handed-on records.
    """
    if record.headers and is_handed_on(record.headers):
        return decode_handed_on(record.value)
    return decode(record.value, arrival_ms=record.timestamp, headers=record.headers)


def decode_records(records: Sequence[Record], partition: Partition, rules: FoldRules) -> Batch:
    """Decodes and routes records; raises nothing for whatever bytes they hold."""
    batch, partitions = Batch(), rules.topology.partitions
    for start in range(0, len(records), DECODED_AT_ONCE):
        some = records[start : start + DECODED_AT_ONCE]
        events = _decode_at_once(some, partition, partitions)
        if events is None:
            _decode_each(some, partition, partitions, batch)
        else:
            batch.events += events
            batch.sources += some
    return batch


def _decode_at_once(records: Sequence[Record], partition: Partition, partitions: int) -> list[Interaction] | None:
    """The events of records that are all valid and in their learners' partition; None where one may not be."""
    if any([record.headers for record in records]):  # noqa: C419 - a list takes less time than a generator
        return None
    events = decode_flat([record.value for record in records], [record.timestamp for record in records])
    if events is None or any(partition_of(user, partitions) != partition for user in {each.user_id for each in events}):
        return None
    return events


def _decode_each(records: Iterable[Record], partition: Partition, partitions: int, batch: Batch) -> None:
    for record in records:
        try:
            event = decode_record(record)
            target = target_of_misrouted(record, event.user_id, partition, partitions)
        except InvalidEvent as error:
            batch.refused.append(Refused(record, error))
            continue
        if target is None:
            batch.accept(event, record)
        else:
            batch.misrouted.append(Misrouted(record, event.user_id, target))


def target_of_misrouted(record: Record, user_id: str, partition: Partition, partitions: int) -> Partition | None:
    """The partition a record must be sent to; None if it lies in its learner's.

    Raises:
        InvalidEvent: It is misrouted, and too large to be sent: it would hold up its partition for ever.
    """
    target = partition_of(user_id, partitions)
    if target == partition:
        return None
    size = len(user_id.encode()) + len(record.value or b"") + headers_bytes(record.headers)
    if size > MAX_PRODUCED_BYTES:
        detail = f"expected a misrouted record of at most {MAX_PRODUCED_BYTES} bytes with its headers, received {size}"
        raise InvalidEvent(RefusalReason.TOO_LARGE, detail)
    return target


def fold(batch: Batch, state: ShardState, rules: FoldRules) -> Effects:
    """What the batch changes, given the state it touches.

    Args:
        batch: Decoded records.
        state: What the store answered to `Batch.reads` and `Batch.more_reads`; possibly for a larger batch.
        rules: Of records, and projections.

    Returns:
        Effects whose counts add up to the batch's records: accepted + unchanged + refused + rerouted, and expired.
    """
    changes = fold_records(batch.events, state, rules.records, rules.max_courses)
    outcomes = changes.outcomes
    outcomes["refused"] += len(batch.refused)
    outcomes["rerouted"] += len(batch.misrouted)
    outcomes["expired"] += batch.expired
    counts = {name: records for name, records in outcomes.items() if records}
    events = Events(batch.events, rules.records, changes, counts)
    operations = [operation for projection in rules.projections for operation in projection.fold(events, state)]
    users = len(changes.by_learner.keys() | changes.forgotten.keys())
    return Effects(operations, counts, users, changes.handed_on)


def produced(handed_on: Iterable[HandedOn], rules: FoldRules) -> Iterator[Misrouted]:
    """What merges hand on, as records to be produced into their learners' partitions."""
    for handed in handed_on:
        for part in _in_parts(handed):
            value = encode_handed_on(part, rules.records)
            record = Produced(value, ((CONTROL_HEADER, HANDED_ON),), handed.user_id.encode())
            yield Misrouted(record, handed.user_id, partition_of(handed.user_id, rules.topology.partitions))


def _in_parts(handed: HandedOn) -> Iterator[HandedOn]:
    remaining = iter(handed.records.items())
    records: Mapping[str, CourseRecord] = dict(islice(remaining, COURSES_HANDED_ON_AT_ONCE))
    yield replace(handed, records=records)
    while records := dict(islice(remaining, COURSES_HANDED_ON_AT_ONCE)):
        yield replace(handed, records=records)
