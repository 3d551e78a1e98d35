"""The fold: records of one partition and the state they touch, to the effects they have.

Pure: no I/O and no clock. A record's own timestamp (set by the broker when it appended it) is its arrival time, so
every worker, redelivery, rebuild and oracle folds the same records to the same state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xxhash import xxh3_128_digest

from recsys.bots import BotFeatures
from recsys.engagement import LANDMARK_MS, EngagementWeights, ForwardDecay
from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import DONE_PROGRESS, Interaction, decode, is_done
from recsys.kafka.records import MAX_PRODUCED_BYTES, Record, headers_bytes
from recsys.keys import Partition, Topology, partition_of
from recsys.online_store import ID_DIGEST_BYTES, Effects, ShardRead, ShardState
from recsys.settings import Settings


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
    """

    weights: EngagementWeights
    decay: ForwardDecay
    trending_decay: ForwardDecay
    topology: Topology
    dedupe_window_ms: int
    done_progress: float = DONE_PROGRESS

    @classmethod
    def of(cls, settings: Settings, topology: Topology) -> FoldRules:
        """The rules the settings name."""
        return cls(
            weights=settings.weights,
            decay=settings.decay,
            trending_decay=settings.trending_decay,
            topology=topology,
            dedupe_window_ms=int(settings.dedupe_window_hours * 3_600_000),
            done_progress=settings.done_progress,
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
    """

    events: list[Interaction] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    misrouted: list[Misrouted] = field(default_factory=list)
    bucket: int = 0

    def accept(self, event: Interaction, record: Record) -> None:
        """Adds an event that belongs to this shard."""
        self.events.append(event)
        self.sources.append(record)
        self.ids.append(_digest(event))

    def request(self) -> ShardRead:
        """The state the fold of this batch needs."""
        touched: dict[str, dict[str, None]] = {}
        trending: dict[str, None] = {}
        for event in self.events:
            trending[event.course_id] = None
            courses = touched.get(event.user_id)
            if courses is None:
                touched[event.user_id] = {event.course_id: None}
            else:
                courses[event.course_id] = None
        return ShardRead(
            self.ids, self.bucket, {user: list(courses) for user, courses in touched.items()}, list(trending)
        )


def decode_records(records: Iterable[Record], partition: Partition, rules: FoldRules) -> Batch:
    """Decodes and routes records; raises nothing for whatever bytes they hold."""
    batch = Batch()
    record = None
    for record in records:
        try:
            event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
            home = home_of_misrouted(record, event.user_id, partition, rules.topology.partitions)
        except InvalidEvent as error:
            batch.refused.append(Refused(record, error))
            continue
        if home is None:
            batch.accept(event, record)
        else:
            batch.misrouted.append(Misrouted(record, event.user_id, home))
    if record is not None:
        batch.bucket = record.timestamp // rules.dedupe_window_ms
    return batch


def home_of_misrouted(record: Record, user_id: str, partition: Partition, partitions: int) -> Partition | None:
    """The partition a record must be sent to; None if it lies in its learner's.

    Raises:
        InvalidEvent: It is misrouted, and too large to be sent: it would hold up its partition for ever.
    """
    home = partition_of(user_id, partitions)
    if home == partition:
        return None
    size = len(user_id.encode()) + len(record.value or b"") + headers_bytes(record.headers)
    if size > MAX_PRODUCED_BYTES:
        detail = f"expected a misrouted record of at most {MAX_PRODUCED_BYTES} bytes with its headers, received {size}"
        raise InvalidEvent(RefusalReason.TOO_LARGE, detail)
    return home


def _digest(event: Interaction) -> bytes:
    """What identifies an event within its shard; 96 bits, so that 10⁹ remembered ids collide with odds of 10⁻¹¹."""
    return xxh3_128_digest(f"{event.user_id}\0{event.event_id}".encode())[:ID_DIGEST_BYTES]


def fold(batch: Batch, request: ShardRead, state: ShardState, rules: FoldRules) -> Effects:
    """What the batch changes, given the state it touches.

    Args:
        batch: Decoded records.
        request: What was asked of the store for it.
        state: What the store answered.
        rules: Weights, decay and topology.

    Returns:
        Effects whose counters add up to the batch's records: accepted + duplicate + refused + rerouted.
    """
    fresh = _without_duplicates(batch.events, batch.ids, state.seen)
    trending = dict(zip(request.courses, state.trend, strict=True))
    trend: dict[str, float] = {}
    learners: dict[str, _Learner] = {}
    weigh, exp2 = rules.weights.weight, math.exp2
    per_ms, trend_per_ms = rules.decay.per_ms, rules.trending_decay.per_ms
    for event in fresh.values():
        course, weight, age_ms = event.course_id, weigh(event), event.timestamp - LANDMARK_MS
        learner = learners.get(event.user_id)
        if learner is None:
            learner = learners[event.user_id] = _Learner.before(event.user_id, request, state)
        learner.sums[course] = learner.stored[course] = learner.stored[course] + weight * exp2(age_ms * per_ms)
        learner.bot.add(event)
        if is_done(event.type, event.value, done_progress=rules.done_progress):
            learner.done.append(course)
        if weight > 0:
            trending[course] = trend[course] = trending[course] + weight * exp2(age_ms * trend_per_ms)
    return Effects(
        engagement={user: learner.sums for user, learner in learners.items()},
        done={user: learner.done for user, learner in learners.items() if learner.done},
        trend=trend,
        bots={user: _bot_fields(learner.bot) for user, learner in learners.items()},
        ids=list(fresh),
        bucket=batch.bucket,
        counts=_counts(batch, accepted=len(fresh)),
    )


@dataclass(slots=True)
class _Learner:
    """One learner during a fold: sums as of now, and those that changed."""

    stored: dict[str, float]
    bot: BotFeatures
    sums: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    @classmethod
    def before(cls, user: str, request: ShardRead, state: ShardState) -> _Learner:
        stored = dict(zip(request.touched[user], state.engagement[user], strict=True))
        return cls(stored, BotFeatures(state.bots[user]))


def _without_duplicates(
    events: Sequence[Interaction], ids: Sequence[bytes], seen: Sequence[bool]
) -> dict[bytes, Interaction]:
    """Each event that counts, once, by its digest, in order; the first of a repeated id wins."""
    fresh: dict[bytes, Interaction] = {}
    for event, digest, duplicate in zip(events, ids, seen, strict=True):
        if not duplicate and digest not in fresh:
            fresh[digest] = event
    return fresh


def _bot_fields(features: BotFeatures) -> dict[str, str]:
    state = features.state()
    if state == "human":
        return {"features": features.packed()}
    return {"features": features.packed(), "state": state, "reasons": features.reasons()}


def _counts(batch: Batch, *, accepted: int) -> dict[str, int]:
    counts = {
        "accepted": accepted,
        "duplicate": len(batch.events) - accepted,
        "refused": len(batch.refused),
        "rerouted": len(batch.misrouted),
    }
    return {name: records for name, records in counts.items() if records}
