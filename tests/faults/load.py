"""The load: an endless, seeded sequence of records as learners, faulty clients and scripts would send them.

The same seed, rate and start give the same bytes. 1 % of the events come a second time seconds to minutes later, 0.5 %
are bad values, 5 % are old, 0.1 % lie in the wrong partition, and some learners are scripts or crawlers.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from recsys.keys import partition_of

REPEATED = 0.01
POISON = 0.005
LATE = 0.05
MISROUTED = 0.001
SCRIPTED = 0.02
DAY_MS = 86_400_000
TYPES = (
    *("view",) * 40,
    *("click",) * 25,
    *("play",) * 10,
    *("progress",) * 10,
    *("bookmark",) * 3,
    *("enroll",) * 4,
    *("complete",) * 2,
    *("rate",) * 3,
    *("dismiss",) * 2,
    "unenroll",
)
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (iPhone) Safari/605.1", None)
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BAD_VALUES: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\xff\xfe\x00broken",
    b"[1,2,3]",
    b'{"event_id":"x"',
    b'{"event_id":"e","user_id":"u1","course_id":"c1","type":"teleport","timestamp":1700000000000}',
    b'{"event_id":"e","user_id":"u1","course_id":"c1","type":"rate","timestamp":1700000000000,"value":9}',
    b'{"event_id":"e","user_id":"u1","course_id":"c1","type":"click","timestamp":4102444800000}',
    b'{"event_id":"","user_id":"u1","course_id":"c1","type":"click","timestamp":1700000000000}',
    b'{"event_id":"e","user_id":"u1","course_id":"c1","type":"click","timestamp":' + b"9" * 400 + b"}",
    b'{"event_id":"e","user_id":"u1","course_id":"c1","type":"progress","timestamp":1700000000000,"value":NaN}',
    b"[" * 10_000,
    b"\x80\x04\x95pickle",
)


class Produced(NamedTuple):
    """A record to produce."""

    partition: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Load:
    """What to produce.

    Attributes:
        seed: Of everything random.
        partitions: Partition count of the topic.
        rate: Records a second; the event times follow it.
        start_ms: Event time of the first, ms since 1970 UTC.
        users: Learners.
        courses: Courses.
        poison: Share of bad values.
        marker: A course id that every `marker_every`-th event has, for faults that wait for a certain record.
        marker_every: See `marker`; 0 for never.
        markers: At most so many events have it.
    """

    seed: int
    partitions: int
    rate: float
    start_ms: int
    users: int = 4000
    courses: int = 400
    poison: float = POISON
    marker: str = ""
    marker_every: int = 0
    markers: int = 1_000_000

    def records(self) -> Iterator[Produced]:
        """The records, without end."""
        rng = random.Random(self.seed)
        encode = msgspec.json.Encoder().encode
        again: list[tuple[int, int, Produced]] = []
        number = 0
        while True:
            number += 1
            while again and again[0][0] <= number:
                yield heapq.heappop(again)[2]
            if rng.random() < self.poison:
                yield self._poison(rng)
                continue
            record = self._event(rng, number, encode)
            if rng.random() < REPEATED:
                due = number + int(self.rate * rng.uniform(2, 60))
                heapq.heappush(again, (due, number, record))
            yield record

    def _poison(self, rng: random.Random) -> Produced:
        user = f"u{rng.randrange(self.users)}"
        return Produced(partition_of(user, self.partitions), user.encode(), rng.choice(BAD_VALUES))

    def _event(self, rng: random.Random, number: int, encode: object) -> Produced:
        scripted = rng.random() < SCRIPTED
        # A few scripts make many events a minute each; everybody else is a learner.
        user = f"script{rng.randrange(3)}" if scripted else f"u{int(rng.random() ** 2 * self.users)}"
        kind = rng.choice(TYPES)
        at = self.start_ms + int(number * 1000 / self.rate)
        if rng.random() < LATE:
            at -= int(rng.uniform(0.1, 1500) * DAY_MS)
        event: dict[str, object] = {
            "event_id": f"e{number}",
            "user_id": user,
            "course_id": f"c{int(rng.random() ** 2 * self.courses)}",
            "type": kind,
            "timestamp": at,
        }
        if self.marker_every and number % self.marker_every == 0 and number <= self.markers * self.marker_every:
            event["course_id"] = self.marker
        if kind == "progress":
            event["value"] = round(rng.random(), 3)
        elif kind == "rate":
            event["value"] = rng.randint(1, 5)
        agent = CRAWLER if user == "u7" else rng.choice(AGENTS)
        if agent:
            event["user_agent"] = agent
        return self._routed(rng, user, encode(event))  # type: ignore[operator]

    def _routed(self, rng: random.Random, user: str, value: bytes) -> Produced:
        target = partition_of(user, self.partitions)
        if rng.random() >= MISROUTED:
            return Produced(target, user.encode(), value)
        if rng.random() < 0.5:
            return Produced(rng.randrange(self.partitions), None, value)
        other = f"device{rng.randrange(100)}"
        return Produced(partition_of(other, self.partitions), other.encode(), value)
