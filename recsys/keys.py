"""The key space in Redis: the only place that spells a key.

State is sharded by Kafka partition. Everything one event touches carries the hash tag of its shard, `{s<shard>}`,
so one event is one slot and the same layout runs on Redis Cluster. In generation 0 a shard has its partition's number;
`recsys rebuild` fills the shards of the next generation beside the ones in use and then switches (`Topology`).

| function | type | holds | unit | TTL | writer | reader |
|---|---|---|---|---|---|---|
| `fence` | string | last applied offset of the partition | offset | none | stream | stream, infra |
| `engagement` | hash course → 8-byte double | forward-decayed sum | weight | none | stream | all |
| `done` | set of course ids, bounded | not to recommend | | none | stream | stream, serving |
| `bot` | hash | detector features, state, reasons, since | | none | stream | stream, infra |
| `event_ids` | set of 12-byte digests | ids of one dedupe bucket | | none (log time) | stream | stream |
| `state(DEDUPE)` | hash | the newest dedupe bucket | bucket | none | stream | stream |
| `trend` | hash course → 8-byte double | this shard's forward-decayed trending | weight | none | stream | stream |
| `dirty` | zset user → offset | users whose top-N is out of date | offset | none | stream | stream |
| `top` | string, packed | cached top-N | | settings | stream, batch | serving |
| `published` | string, JSON | copy of `MODEL_CURRENT`; other lists are refused | | none | all but serving | stream |
| `users` | set of user ids | learners with engagement | | none | stream, batch | batch, stream |
| `indexed` | string | the count of accepted events up to which `users` is whole | | none | stream, batch | all |
| `commit_intent` | string | there only while a commit is applied in part | | none | stream | stream, infra |
| `counts` | hash | accepted, duplicate, refused, rerouted, expired records | records | none | stream | infra |
| `guard` | hash | starts at one fence, isolation mode, quarantine, a stop | | none | stream, infra | stream, infra |
| `worker` | string | who runs under a worker id | | 10 s | stream | stream |
| `TRENDING` | string, JSON | merged trending | score | none | stream | serving |
| `MODEL_CURRENT`, `MODEL_PREVIOUS` | string, JSON | version and place of a bundle | | none | batch, infra | all |
| `TOPOLOGY` | string, JSON | partition count, generation of the shards | | none | infra, stream | all |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

Partition = NewType("Partition", int)
"""The number of a Kafka partition."""

Shard = NewType("Shard", int)
"""The number of a shard in Redis. Equal to its partition's number in generation 0 only, hence a type of its own."""

TRENDING = "trending"
MODEL_CURRENT = "model:current"
MODEL_PREVIOUS = "model:previous"
TOPOLOGY = "topology"

ENGAGEMENT, DONE, BOT, EVENT_IDS, DEDUPE = "eng", "done", "bot", "ids", "dedupe"
TREND, DIRTY, COUNTS, USERS = "trend", "dirty", "counts", "users"
"""Names of states (`state` spells their keys)."""

EVERY_SHARD_PATTERN = "{s*}:*"
"""A SCAN pattern for the keys of all shards: one pass serves however many are looked for."""

EVERY_ENGAGEMENT_PATTERN = "{s*}:eng:*"
"""A SCAN pattern for the `engagement` keys of all shards."""

SHARDS_A_GENERATION = 10_000

_ENGAGEMENT_KEY = re.compile(r"\{s(\d+)\}:eng:")

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, as in `org.apache.kafka.common.utils.Utils.murmur2`; unsigned."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    body = length & ~3
    for i in range(0, body, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[body:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=262_144)
def partition_of(user_id: str, partitions: int) -> Partition:
    """The partition Kafka's default partitioner gives a record keyed by `user_id`."""
    return Partition((murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions)


@dataclass(frozen=True, slots=True)
class Topology:
    """Which shards are in use. Written once, then moved by `recsys rebuild` alone.

    Attributes:
        partitions: Partition count of the interactions topic that the shards were folded by.
        generation: Counts the rebuilds; every generation has shards of its own.
    """

    partitions: int
    generation: int = 0

    def shard(self, partition: Partition) -> Shard:
        """The number of a partition's shard."""
        return Shard(self.generation * SHARDS_A_GENERATION + partition)

    def every_partition(self) -> Sequence[Partition]:
        """Every partition of the topic."""
        return [Partition(number) for number in range(self.partitions)]

    def shards(self) -> Sequence[Shard]:
        """Every shard in use."""
        return [self.shard(partition) for partition in self.every_partition()]

    def shard_of(self, user_id: str) -> Shard:
        """The shard that holds a learner's state."""
        return self.shard(partition_of(user_id, self.partitions))


def partition_of_shard(shard: Shard) -> Partition:
    """The Kafka partition whose state a shard holds, in whatever generation."""
    return Partition(shard % SHARDS_A_GENERATION)


def tag(shard: Shard) -> str:
    """The hash tag that every key of a shard begins with."""
    return f"{{s{shard}}}"


def state(shard: Shard, name: str, owner: str = "") -> str:
    """The key of a projection's state: of one owner, or of the shard itself."""
    return state_under(tag(shard), name, owner)


def state_under(prefix: str, name: str, owner: str = "") -> str:
    """The same under any tag."""
    return f"{prefix}:{name}:{owner}" if owner else f"{prefix}:{name}"


def scratch_tag(shard: Shard, token: str) -> str:
    """What every scratch key of one self-test begins with; they are deleted at its end."""
    return f"{tag(shard)}:self-test:{token}"


FENCE_PATTERN = "{s*}:fence:*"
"""A SCAN pattern for the fences of all shards and groups."""


def shard_of_key(key: str) -> Shard:
    """The shard that a key with a hash tag belongs to."""
    return Shard(int(key[2 : key.index("}")]))


def guard(shard: Shard, group: str) -> str:
    return f"{tag(shard)}:guard:{group}"


def commit_intent(shard: Shard, group: str) -> str:
    return f"{tag(shard)}:intent:{group}"


def fence(shard: Shard, group: str) -> str:
    return f"{tag(shard)}:fence:{group}"


def engagement(shard: Shard, user_id: str) -> str:
    return state(shard, ENGAGEMENT, user_id)


def learner_of_engagement(key: str) -> tuple[Shard, str] | None:
    """The shard and the user id inside an `engagement` key (the id may itself hold colons and braces)."""
    match = _ENGAGEMENT_KEY.match(key)
    return None if match is None else (Shard(int(match[1])), key[match.end() :])


def users(shard: Shard) -> str:
    return state(shard, USERS)


def indexed(shard: Shard) -> str:
    return state(shard, "indexed")


def done(shard: Shard, user_id: str) -> str:
    return state(shard, DONE, user_id)


def bot(shard: Shard, user_id: str) -> str:
    return state(shard, BOT, user_id)


def event_ids(shard: Shard, bucket: int) -> str:
    return state(shard, EVENT_IDS, str(bucket))


def trend(shard: Shard) -> str:
    return state(shard, TREND)


def dirty(shard: Shard) -> str:
    return state(shard, DIRTY)


def top(shard: Shard, user_id: str) -> str:
    return f"{tag(shard)}:top:{user_id}"


def published(shard: Shard) -> str:
    return f"{tag(shard)}:model"


def counts(shard: Shard) -> str:
    return state(shard, COUNTS)


def worker(worker_id: str) -> str:
    return f"worker:{worker_id}"
