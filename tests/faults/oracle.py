"""The oracle: what Redis must hold, folded from the topic alone.

Shares no code with `stream` or `recsys.engagement`: partitioner, decay and bot rules are written anew here from their
published forms (Kafka's murmur2; Cormode et al. 2009; docs/faults.md). Only the event schema (`recsys.events.decode`)
is the system's own, because it defines what an event is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import crawleruseragents

from recsys.errors import InvalidEvent
from recsys.events import Interaction, decode
from tests.faults.topic import LogRecord

LANDMARK_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
DAY_MS = 86_400_000
ENGAGEMENT_HALF_LIFE_DAYS = 30.0
TRENDING_HALF_LIFE_DAYS = 10.0
FIXED_WEIGHTS = {
    "view": 1.0,
    "click": 5.0,
    "play": 2.0,
    "bookmark": 4.0,
    "enroll": 10.0,
    "complete": 12.0,
    "dismiss": -5.0,
    "unenroll": -10.0,
}
ENDING = ("enroll", "complete", "dismiss", "unenroll")
WATCHED = 0.9
"""A progress of at least this ends a course, too."""
BUSY_MINUTE = 61
"""Events that make a minute busy."""


@dataclass(slots=True)
class Sum:
    """A sum with the sum of its terms' sizes, which says how exact it can be."""

    value: float = 0.0
    size: float = 0.0

    def add(self, term: float) -> None:
        self.value += term
        self.size += abs(term)


@dataclass(slots=True)
class Shard:
    """What one partition's part of the state must be.

    Attributes:
        fence: Offset of the last record; None for an empty partition.
        engagement: (user, course) → stored sum.
        done: user → courses never to recommend again.
        ended: Those of `done` that an event of `ENDING` ended; workers before 0.9 of progress counted know no others.
        trend: course → stored sum.
        bots: user → the detector's hash.
        counts: Outcome → records.
        refused: Offset → the value of each record that must have a dead letter, and the reason in it ("" for any).
    """

    fence: int | None = None
    engagement: dict[tuple[str, str], Sum] = field(default_factory=dict)
    done: dict[str, set[str]] = field(default_factory=dict)
    ended: dict[str, set[str]] = field(default_factory=dict)
    trend: dict[str, Sum] = field(default_factory=dict)
    bots: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    refused: dict[int, tuple[bytes | None, str]] = field(default_factory=dict)


@lru_cache(maxsize=1_000_000)
def target_of(user_id: str, partitions: int) -> int:
    """The partition of a record keyed by `user_id` (Kafka's `Utils.toPositive(Utils.murmur2(key)) % partitions`)."""
    key, multiplier = user_id.encode(), 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        k = (key[start] | key[start + 1] << 8 | key[start + 2] << 16 | key[start + 3] << 24) * multiplier % 2**32
        k = (k ^ k >> 24) * multiplier % 2**32
        h = (h * multiplier ^ k) % 2**32
    rest = key[whole:]
    if rest:
        for place, byte in enumerate(rest):
            h ^= byte << 8 * place
        h = h * multiplier % 2**32
    h = (h ^ h >> 13) * multiplier % 2**32
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions


def weight_of(event: Interaction) -> float:
    """The undecayed weight: progress 2 × value, rate 3 × (value − 3), the others a number each."""
    if event.type == "progress":
        return 2.0 * (event.value or 0.0)
    if event.type == "rate":
        return 3.0 * ((event.value or 3.0) - 3.0)
    return FIXED_WEIGHTS[event.type]


def decayed(weight: float, at_ms: int, half_life_days: float) -> float:
    """Forward decay: `w · 2^((t − L)/h)`."""
    return float(weight * 2.0 ** ((at_ms - LANDMARK_MS) / (half_life_days * DAY_MS)))


@dataclass(slots=True)
class Habits:
    """What the bot rules remember of a learner."""

    minute: int = 0
    events: int = 0
    busy: int = 0
    crawler: bool = False

    def see(self, event: Interaction) -> None:
        minute = event.timestamp // 60_000
        if minute > self.minute:
            self.minute, self.events = minute, 0
        if minute == self.minute:
            self.events += 1
            self.busy += self.events == BUSY_MINUTE
        self.crawler = self.crawler or _is_crawler(event.user_agent)

    def as_stored(self) -> dict[str, str]:
        stored = {"features": f"{self.minute},{self.events},{self.busy},{int(self.crawler)}"}
        if not self.crawler and not self.busy:
            return stored
        reasons = ["user agent is a declared crawler"] if self.crawler else []
        reasons += [f"{self.busy} min with more than {BUSY_MINUTE - 1} events"] if self.busy else []
        state = "bot" if self.crawler or self.busy > 2 else "suspect"
        return {**stored, "state": state, "reasons": "; ".join(reasons)}


@lru_cache(maxsize=1024)
def _is_crawler(user_agent: str | None) -> bool:
    return bool(user_agent) and bool(crawleruseragents.is_crawler(user_agent))


def fold_topic(
    records: Iterable[LogRecord],
    partitions: int,
    *,
    also_refused: Callable[[Interaction], bool] = lambda _: False,
    expired: Mapping[int, range] | None = None,
) -> dict[int, Shard]:
    """Folds a whole topic.

    Args:
        records: Every record; those of a partition in offset order.
        partitions: Partition count.
        also_refused: Events that the workers of this run must dead-letter though they are valid.
        expired: Partition → offsets that retention deleted before they were applied; they count as `expired`.

    Returns:
        Partition → what its shard must hold.
    """
    shards = {partition: Shard() for partition in range(partitions)}
    habits: dict[str, Habits] = {}
    seen: set[tuple[str, str]] = set()
    for record in records:
        shard = shards[record.partition]
        shard.fence = record.offset
        if record.offset in (expired or {}).get(record.partition, ()):
            shard.counts["expired"] += 1
            continue
        event = _accepted(record, also_refused)
        if isinstance(event, str):
            shard.counts["refused"] += 1
            shard.refused[record.offset] = (record.value, event)
        elif target_of(event.user_id, partitions) != record.partition:
            shard.counts["rerouted"] += 1
        elif (event.user_id, event.event_id) in seen:
            shard.counts["duplicate"] += 1
        else:
            seen.add((event.user_id, event.event_id))
            _apply(shard, event, habits.setdefault(event.user_id, Habits()))
    for user_id, habit in habits.items():
        shards[target_of(user_id, partitions)].bots[user_id] = habit.as_stored()
    return shards


def _accepted(record: LogRecord, also_refused: Callable[[Interaction], bool]) -> Interaction | str:
    """The event, or the reason it is refused for ("" where the case does not say which)."""
    try:
        event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    except InvalidEvent as error:
        return str(error.reason)
    return "" if also_refused(event) else event


def _apply(shard: Shard, event: Interaction, habit: Habits) -> None:
    shard.counts["accepted"] += 1
    weight = weight_of(event)
    pair = (event.user_id, event.course_id)
    shard.engagement.setdefault(pair, Sum()).add(decayed(weight, event.timestamp, ENGAGEMENT_HALF_LIFE_DAYS))
    if weight > 0:
        term = decayed(weight, event.timestamp, TRENDING_HALF_LIFE_DAYS)
        shard.trend.setdefault(event.course_id, Sum()).add(term)
    if event.type in ENDING:
        shard.ended.setdefault(event.user_id, set()).add(event.course_id)
    if event.type in ENDING or (event.type == "progress" and event.value is not None and event.value >= WATCHED):
        shard.done.setdefault(event.user_id, set()).add(event.course_id)
    habit.see(event)
