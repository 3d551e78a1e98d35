"""The fold: records of one partition and the state they touch, to the effects they have.

Pure: no I/O and no clock. A record's own timestamp (set by the broker when it appended it) is its arrival time, so
every worker, redelivery, rebuild and oracle folds the same records to the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from xxhash import xxh3_128_digest

from recsys.engagement import EngagementWeights, ForwardDecay
from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import DONE_PROGRESS, Interaction, decode
from recsys.kafka.records import MAX_PRODUCED_BYTES, Record, headers_bytes
from recsys.keys import Partition, Topology, partition_of
from recsys.online_store import Effects, ShardState
from recsys.online_store.operations import ID_DIGEST_BYTES, Read
from recsys.settings import Settings
from stream.engagement.projections import Events, Parameters, Projection, registered
from stream.engagement.projections.dedupe import repeats


def no_catalogue() -> Container[str] | None:
    """No catalogue: every course is taken as known."""
    return None


@dataclass(frozen=True, slots=True)
class FoldRules:
    """What the fold is configured with.

    Attributes:
        weights: Weight of each event type.
        decay: Decay of engagement.
        trending_decay: Decay of trending.
        topology: Partition count of the topic and generation of the shards.
        dedupe_window_ms: Length of one dedupe bucket, ms.
        done_progress: The `progress` that completes a course.
        max_courses: Courses kept per learner.
        max_done: Courses kept per learner as not to be recommended.
        catalogue: The courses that are known right now; None while no catalogue is.
        more_projections: Run after the registered ones.
        projections: All that run.
    """

    weights: EngagementWeights
    decay: ForwardDecay
    trending_decay: ForwardDecay
    topology: Topology
    dedupe_window_ms: int
    done_progress: float = DONE_PROGRESS
    max_courses: int = 2000
    max_done: int = 10_000
    catalogue: Callable[[], Container[str] | None] = no_catalogue
    more_projections: tuple[Projection, ...] = ()
    projections: tuple[Projection, ...] = field(init=False)

    def __post_init__(self) -> None:
        parameters = Parameters(
            self.decay, self.trending_decay, self.done_progress, self.max_courses, self.max_done, self.catalogue
        )
        object.__setattr__(self, "projections", (*registered(parameters), *self.more_projections))

    @classmethod
    def of(
        cls,
        settings: Settings,
        topology: Topology,
        *,
        catalogue: Callable[[], Container[str] | None] = no_catalogue,
    ) -> FoldRules:
        """The rules the settings name."""
        return cls(
            weights=settings.weights,
            decay=settings.decay,
            trending_decay=settings.trending_decay,
            topology=topology,
            dedupe_window_ms=int(settings.dedupe_window_hours * 3_600_000),
            done_progress=settings.done_progress,
            max_courses=settings.engagement_max_courses,
            max_done=settings.engagement_max_done,
            catalogue=catalogue,
        )


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


@dataclass(slots=True)
class Batch:
    """Decoded records of one partition.

    Attributes:
        events: Accepted so far, in offset order.
        sources: The record of each event.
        ids: One digest per event.
        refused: Records to dead-letter.
        misrouted: Records to produce again under their right key.
        bucket: The dedupe bucket of the batch.
        expired: Offsets before the batch that retention deleted, if an operator let them be passed.
    """

    events: list[Interaction] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    misrouted: list[Misrouted] = field(default_factory=list)
    bucket: int = 0
    expired: int = 0

    def accept(self, event: Interaction, record: Record) -> None:
        """Adds an event that belongs to this shard."""
        self.events.append(event)
        self.sources.append(record)
        self.ids.append(_digest(event))

    def events_of(self, rules: FoldRules) -> Events:
        """All accepted events, as projections read their state for them."""
        return Events(self.events, self.ids, self.bucket, rules.weights)

    def reads(self, rules: FoldRules) -> list[Read]:
        """The state that the fold of this batch needs."""
        events = self.events_of(rules)
        return [read for projection in rules.projections for read in projection.reads(events)]


def decode_records(records: Iterable[Record], partition: Partition, rules: FoldRules) -> Batch:
    """Decodes and routes records; raises nothing for whatever bytes they hold."""
    batch = Batch()
    record = None
    for record in records:
        try:
            event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
            target = target_of_misrouted(record, event.user_id, partition, rules.topology.partitions)
        except InvalidEvent as error:
            batch.refused.append(Refused(record, error))
            continue
        if target is None:
            batch.accept(event, record)
        else:
            batch.misrouted.append(Misrouted(record, event.user_id, target))
    if record is not None:
        batch.bucket = record.timestamp // rules.dedupe_window_ms
    return batch


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


def _digest(event: Interaction) -> bytes:
    """What identifies an event within its shard; 96 bits, so that 10⁹ remembered ids collide with odds of 10⁻¹¹."""
    return xxh3_128_digest(f"{event.user_id}\0{event.event_id}".encode())[:ID_DIGEST_BYTES]


def fold(batch: Batch, state: ShardState, rules: FoldRules) -> Effects:
    """What the batch changes, given the state it touches.

    Args:
        batch: Decoded records.
        state: What the store answered to `Batch.reads`; possibly for a larger batch.
        rules: Weights and projections.

    Returns:
        Effects whose counts add up to the batch's records: accepted + duplicate + refused + rerouted, and expired.
    """
    fresh = _without_duplicates(batch.events, batch.ids, repeats(state))
    counts = _counts(batch, accepted=len(fresh))
    events = Events([*fresh.values()], [*fresh], batch.bucket, rules.weights, counts)
    operations = [operation for projection in rules.projections for operation in projection.fold(events, state)]
    return Effects(operations, counts, len({event.user_id for event in events.events}))


def _without_duplicates(
    events: Sequence[Interaction], ids: Sequence[bytes], repeated: AbstractSet[bytes]
) -> dict[bytes, Interaction]:
    """Each event that counts, once, by its digest, in order; the first of a repeated id wins."""
    if not repeated:
        fresh = dict(zip(ids, events, strict=True))
        if len(fresh) == len(events):
            return fresh
    fresh = {}
    for event, digest in zip(events, ids, strict=True):
        if digest not in repeated:
            fresh.setdefault(digest, event)
    return fresh


def _counts(batch: Batch, *, accepted: int) -> dict[str, int]:
    counts = {
        "accepted": accepted,
        "duplicate": len(batch.events) - accepted,
        "refused": len(batch.refused),
        "rerouted": len(batch.misrouted),
        "expired": batch.expired,
    }
    return {name: records for name, records in counts.items() if records}
