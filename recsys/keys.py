"""The key space in Redis: the only place that spells a key.

State is sharded by Kafka partition. Everything one event touches carries the hash tag of its partition, `{s<p>}`,
so one event is one slot and the same layout runs on Redis Cluster.

| function | type | holds | unit | TTL | writer | reader |
|---|---|---|---|---|---|---|
| `fence` | string | last applied offset of the partition | offset | none | stream | stream, infra |
| `engagement` | hash course → 8-byte double | forward-decayed sum | weight | none | stream | all |
| `done` | set of course ids | never to recommend again | | none | stream | stream, serving |
| `bot` | hash | detector features, state, reasons, since | | none | stream | stream, infra |
| `event_ids` | set of 12-byte digests | ids of one dedupe bucket | | 2 windows | stream | stream |
| `trend` | hash course → 8-byte double | this shard's forward-decayed trending | weight | none | stream | stream |
| `dirty` | zset user → offset | users whose top-N is out of date | offset | none | stream | stream |
| `top` | string, packed | cached top-N | | settings | stream, batch | serving |
| `counts` | hash | accepted, duplicate, refused, rerouted records | records | none | stream | infra |
| `worker` | string | who runs under a worker id | | 10 s | stream | stream |
| `TRENDING` | string, JSON | merged trending | score | none | stream | serving |
| `MODEL_CURRENT`, `MODEL_PREVIOUS` | string, JSON | version and place of a bundle | | none | batch | all |
| `TOPOLOGY` | string, JSON | partition count, half-lives | | none | infra, stream | all |
"""

from __future__ import annotations

import re
from functools import lru_cache

TRENDING = "trending"
TRENDING_LEASE = "trending:lease"
MODEL_CURRENT = "model:current"
MODEL_PREVIOUS = "model:previous"
TOPOLOGY = "topology"

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
def partition_of(user_id: str, partitions: int) -> int:
    """The partition Kafka's default partitioner gives a record keyed by `user_id`."""
    return (murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions


def fence(partition: int, group: str) -> str:
    return f"{{s{partition}}}:fence:{group}"


def engagement(partition: int, user_id: str) -> str:
    return f"{{s{partition}}}:eng:{user_id}"


def engagement_pattern(partition: int) -> str:
    """A SCAN pattern for every `engagement` key of a shard."""
    return f"{{s{partition}}}:eng:*"


def user_of_engagement(key: str) -> str:
    """The user id inside an `engagement` key (which may itself hold colons and braces)."""
    return re.sub(r"^\{s\d+\}:eng:", "", key)


def done(partition: int, user_id: str) -> str:
    return f"{{s{partition}}}:done:{user_id}"


def bot(partition: int, user_id: str) -> str:
    return f"{{s{partition}}}:bot:{user_id}"


def event_ids(partition: int, bucket: int) -> str:
    return f"{{s{partition}}}:ids:{bucket}"


def trend(partition: int) -> str:
    return f"{{s{partition}}}:trend"


def dirty(partition: int) -> str:
    return f"{{s{partition}}}:dirty"


def top(partition: int, user_id: str) -> str:
    return f"{{s{partition}}}:top:{user_id}"


def counts(partition: int) -> str:
    return f"{{s{partition}}}:counts"


def worker(worker_id: str) -> str:
    return f"worker:{worker_id}"
