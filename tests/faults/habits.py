"""The bot rules and Kafka's partitioner, written anew for the oracle (docs/faults.md says from what)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import crawleruseragents

from recsys.events import Interaction

BUSY_MINUTE = 61
"""Events that make a minute busy."""


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
