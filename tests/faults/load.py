"""The load: an endless, seeded sequence of records as learners, faulty clients and scripts would send them.

The same seed, rate and start give the same bytes. Seconds to minutes later 1 % of the events come a second time, half
of these under another id, and 0.5 % more as an earlier event of the same day and kind, which must change nothing. 0.5
% are bad values, 5 % are old, 20 % were held back by a device for up to 40 days, 0.1 % lie in the wrong partition.
Every tenth event takes something back, 0.2 % erase a learner and 0.2 % merge an anonymous id into one; such an id is
still used afterwards now and then. Some learners are scripts or crawlers.
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
RESENT = 0.005
POISON = 0.005
LATE = 0.05
HELD_BACK = 0.2
HELD_BACK_DAYS = 40.0
MISROUTED = 0.001
SCRIPTED = 0.02
ANONYMOUS = 0.05
ERASED = 0.002
MERGED = 0.002
ERASED_BACK_DAYS = 30.0
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
    *("unbookmark",) * 3,
    *("unenroll",) * 3,
    *("uncomplete",) * 2,
    *("unrate",) * 2,
    *("undismiss",) * 2,
)
FLOWS = ("view", "click", "play")
ENTERING = (*(kind for kind in TYPES if not kind.startswith("un")), "unenroll")
"""Types that the release before this one knew."""

EVENTS_AN_ANONYMOUS_ID = 400
ENCODE = msgspec.json.Encoder().encode
Event = dict[str, object]
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
        opposites: Whether anything is taken back; no type is used otherwise that the release before did not know.
        controls: Whether learners are erased and merged.
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
    opposites: bool = True
    controls: bool = True

    def records(self) -> Iterator[Produced]:
        """The records, without end."""
        rng = random.Random(self.seed)
        again: list[tuple[int, int, Produced]] = []
        number = 0
        while True:
            number += 1
            while again and again[0][0] <= number:
                yield heapq.heappop(again)[2]
            if rng.random() < self.poison:
                yield self._poison(rng)
                continue
            event = self._event(rng, number)
            repeat = _repeat(rng, event)
            if repeat is not None:
                due = number + int(self.rate * rng.uniform(2, 60))
                heapq.heappush(again, (due, number, self._routed(rng, repeat)))
            yield self._routed(rng, event)

    def _poison(self, rng: random.Random) -> Produced:
        user = f"u{rng.randrange(self.users)}"
        return Produced(partition_of(user, self.partitions), user.encode(), rng.choice(BAD_VALUES))

    def _event(self, rng: random.Random, number: int) -> Event:
        at = self.start_ms + int(number * 1000 / self.rate)
        drawn = rng.random()
        if drawn < ERASED + MERGED and self.controls:
            return self._erasure(rng, number, at) if drawn < ERASED else self._merge(rng, number, at)
        user = self._user(rng, number)
        if rng.random() < LATE:
            at -= int(rng.uniform(0.1, 1500) * DAY_MS)
        elif rng.random() < HELD_BACK and not user.startswith("script"):
            at -= int(rng.uniform(0.0, HELD_BACK_DAYS) * DAY_MS)
        kind = rng.choice(TYPES if self.opposites else ENTERING)
        course = f"c{int(rng.random() ** 2 * self.courses)}"
        event: Event = {"event_id": f"e{number}", "user_id": user, "course_id": course, "type": kind, "timestamp": at}
        if self.marker_every and number % self.marker_every == 0 and number <= self.markers * self.marker_every:
            event["course_id"] = self.marker
        if kind == "progress":
            event["value"] = round(rng.random(), 3)
        elif kind == "rate":
            event["value"] = rng.randint(1, 5)
        agent = CRAWLER if user == "u7" else rng.choice(AGENTS)
        if agent:
            event["user_agent"] = agent
        return event

    def _user(self, rng: random.Random, number: int) -> str:
        """A few scripts make many events a minute each; everybody else is a learner, some of them not signed in yet."""
        drawn = rng.random()
        if drawn < SCRIPTED:
            return f"script{rng.randrange(3)}"
        if drawn < SCRIPTED + ANONYMOUS and self.controls:
            return f"anon{_anonymous(rng, number)}"
        return f"u{int(rng.random() ** 2 * self.users)}"

    def _erasure(self, rng: random.Random, number: int, at: int) -> Event:
        """Half of them as of a time in the past, so that something of the learner is left."""
        if rng.random() < 0.5:
            at -= int(rng.uniform(0.0, ERASED_BACK_DAYS) * DAY_MS)
        user = self._user(rng, number)
        return {"event_id": f"e{number}", "user_id": user, "type": "erase", "timestamp": at}

    def _merge(self, rng: random.Random, number: int, at: int) -> Event:
        """An anonymous id into the learner that signs in under it; every seventh into the next anonymous id."""
        anonymous = _anonymous(rng, number)
        into = f"anon{anonymous + 1}" if anonymous % 7 == 0 else f"u{anonymous * 31 % self.users}"
        return {
            "event_id": f"e{number}",
            "user_id": f"anon{anonymous}",
            "type": "merge",
            "timestamp": at,
            "into": into,
        }

    def _routed(self, rng: random.Random, event: Event) -> Produced:
        user, value = str(event["user_id"]), ENCODE(event)
        target = partition_of(user, self.partitions)
        if rng.random() >= MISROUTED:
            return Produced(target, user.encode(), value)
        if rng.random() < 0.5:
            return Produced(rng.randrange(self.partitions), None, value)
        other = f"device{rng.randrange(100)}"
        return Produced(partition_of(other, self.partitions), other.encode(), value)


def _anonymous(rng: random.Random, number: int) -> int:
    """The number of an anonymous id that is in use about now, or was not long ago."""
    return max(0, number // EVENTS_AN_ANONYMOUS_ID - int(rng.expovariate(0.2)))


def _repeat(rng: random.Random, event: Event) -> Event | None:
    """What is sent again: the event, the same under another id, an earlier one of its day; mostly nothing."""
    drawn = rng.random()
    if drawn < REPEATED / 2:
        return event
    if drawn < REPEATED:
        return {**event, "event_id": f"{event['event_id']}-again"}
    if drawn < REPEATED + RESENT and event["type"] in FLOWS:
        at = int(str(event["timestamp"]))
        return {
            **event,
            "event_id": f"{event['event_id']}-earlier",
            "timestamp": at - int(rng.random() * (at % DAY_MS)),
        }
    return None
