"""Doubles for the unit tests of the stream package: records, a log that can be sought, side outputs that remember."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.errors import ServiceUnavailable
from recsys.kafka.records import Chunk, Fetch
from recsys.keys import Partition, Topology
from recsys.record import RecordRules
from stream.engagement.fold import FoldRules, Misrouted, Refused

ARRIVAL = 1_700_000_000_000
HOUR_MS = 3_600_000
RULES = FoldRules(records=RecordRules(), topology=Topology(1))


@dataclass(frozen=True, slots=True)
class FakeRecord:
    offset: int
    value: bytes | None
    key: bytes | None = b"u"
    timestamp: int = ARRIVAL
    headers: Sequence[tuple[str, bytes | None]] = ()


def event(offset: int, user: str = "u", course: str = "c", kind: str = "click", **fields: Any) -> FakeRecord:
    """A record with a good event; `id`, `at` (event time), `arrival` and `value` may be given.

    Each is a little later than the one before it, so that it changes its record.
    """
    body = {
        "event_id": fields.pop("id", f"e{offset}"),
        "user_id": user,
        "course_id": course,
        "type": kind,
        "timestamp": fields.pop("at", ARRIVAL - 1000 + offset % 1000),
    }
    arrival = fields.pop("arrival", ARRIVAL)
    return FakeRecord(offset, json.dumps({**body, **fields}).encode(), user.encode(), arrival)


def chunk(*records: FakeRecord, epoch: int = 0, begun_at: int | None = None, partition: int = 0) -> Chunk:
    """A chunk whose fetch read from `begun_at`; None: from its first record."""
    return Chunk(Partition(partition), records, Fetch(epoch, records[0].offset if begun_at is None else begun_at), 0)


@dataclass
class FakeLog:
    """A partition's log; remembers seeks and hands out epochs."""

    start: int = 0
    end: int = 1_000_000
    skipped: range = range(0)
    next_offset: int | None = None
    seeks: list[int] = field(default_factory=list)
    revoked_at: int = 0

    async def seek(self, offset: int) -> int:
        self.seeks.append(offset)
        self.next_offset = offset
        return len(self.seeks)

    def owned_since(self) -> int:
        return self.revoked_at

    async def position(self) -> tuple[range, int | None]:
        return self.skipped, self.next_offset

    async def bounds(self) -> tuple[int, int]:
        return self.start, self.end

    async def unread(self) -> int:
        return 0 if self.next_offset is None else self.end - self.next_offset


@dataclass
class FakeOutputs:
    """Remembers what was acknowledged; fails `failures` times first."""

    failures: int = 0
    refused: list[Refused] = field(default_factory=list)
    misrouted: list[Misrouted] = field(default_factory=list)

    async def send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], *, partition: int, now_ms: int
    ) -> None:
        if (refused or misrouted) and self.failures:
            self.failures -= 1
            raise ServiceUnavailable("expected an acknowledgement, received none")
        self.refused += refused
        self.misrouted += misrouted


@dataclass
class FakeDelivery:
    """A chunk as Faust delivers it."""

    value: Chunk
    acked: bool = False

    def ack(self) -> None:
        assert not self.acked
        self.acked = True


async def until(reached: Callable[[], bool]) -> None:
    """Polls for at most 10 s."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
