"""The key space in Redis: the only place that spells a key.

Every key begins with a prefix (a setting, `KeySpace.prefix`), so that one database can be shared with others.
State is sharded by Kafka partition. Everything one event touches carries the hash tag of its shard, `{s<shard>}`,
so one event is one slot and the same layout runs on Redis Cluster. In generation 0 a shard has its partition's number;
`recsys rebuild` fills the shards of the next generation beside the ones in use and then switches (`Topology`).

| function | type | holds | unit | TTL | writer | reader |
|---|---|---|---|---|---|---|
| `fence` | string | last applied offset of the partition | offset | none | stream | stream, infra |
| `engagement` | hash course → packed record | what a learner did with it | score: weight | none | stream | all |
| `done` | hash course → decimal text | until when it is not to be recommended | ms | none | stream | stream, serving |
| `erased` | hash user → decimal text | when the learner was erased last | ms | none | stream | stream, infra |
| `merged` | hash user → text | when and into whom a learner was merged | ms, id | none | stream | stream, infra |
| `bot` | hash | detector features, state, reasons, since | | none | stream | stream, infra |
| `trend` | hash course → packed sums | this shard's part of trending, activity | weight | none | stream | stream |
| `terms` | hash offset → block | what is to be added to `trend` (at most 32) | weight | none | stream | stream |
| `dirty` | zset user → offset | users whose top-N is out of date | offset | none | stream | stream |
| `top` | string, packed | cached top-N | | settings | stream, batch | serving |
| `published` | string, JSON | copy of `model_current`; other lists are refused | | none | all but serving | stream |
| `users` | set of user ids | learners with engagement | | none | stream, batch | batch, stream |
| `indexed` | string | the count of accepted events up to which `users` is whole | | none | stream, batch | all |
| `commit_intent` | string | there only while a commit is applied in part | | none | stream | stream, infra |
| `counts` | hash | accepted, unchanged, refused, rerouted, expired records | records | none | stream | infra |
| `guard` | hash | starts at one fence, isolation mode, quarantine, a stop | | none | stream, infra | stream, infra |
| `worker` | string | who runs under a worker id | | 10 s | stream | stream |
| `trending` | string, JSON | merged trending | score | none | stream | serving |
| `all_activity` | string, packed | merged activity of courses | count | none | stream | stream, serving |
| `model_current`, `model_previous` | string, JSON | version and place of a bundle | | none | batch, infra | all |
| `topology` | string, JSON | partition count, generation and format of the shards | | none | infra, stream | all |
| `log_rewritten` | string | `run_id` of the Redis that wrote its append-only file anew | | none | stream | stream |
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

DEFAULT_PREFIX = "recsys:"
PREFIX_PATTERN = r"^[A-Za-z0-9._:-]*$"
"""No braces, so that the shard's tag stays the hash tag; nothing that SCAN reads as a pattern."""

ENGAGEMENT, DONE, BOT, TOP = "eng", "done", "bot", "top"
TREND, TERMS, DIRTY, COUNTS, USERS = "trend", "terms", "dirty", "counts", "users"
ERASED, MERGED = "erased", "merged"
"""Names of states (`state` spells their keys)."""

SHARDS_A_GENERATION = 10_000

STATE_FORMAT = 3
"""Of what shards hold: 1 is sums of weights and remembered ids of events, 2 is records (decisions 18, 19), 3 is records
and the activity of courses (decision 27)."""

_SHARD_KEY = re.compile(r"\{s(\d+)\}:")

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
        state_format: Of what the shards hold. Only a rebuild knows another than `STATE_FORMAT`.
    """

    partitions: int
    generation: int = 0
    state_format: int = STATE_FORMAT

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


def key_under(tag: str, name: str, owner: str = "") -> str:
    """The key of a projection's state under a shard's tag (or a scratch tag): of one owner, or of the shard itself."""
    return f"{tag}:{name}:{owner}" if owner else f"{tag}:{name}"


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Spells every key.

    Attributes:
        prefix: What every key begins with; empty is the layout of releases up to d1a576b.
    """

    prefix: str = DEFAULT_PREFIX

    @property
    def trending(self) -> str:
        return f"{self.prefix}trending"

    @property
    def all_activity(self) -> str:
        return f"{self.prefix}activity"

    @property
    def model_current(self) -> str:
        return f"{self.prefix}model:current"

    @property
    def model_previous(self) -> str:
        return f"{self.prefix}model:previous"

    @property
    def topology(self) -> str:
        return f"{self.prefix}topology"

    @property
    def log_rewritten(self) -> str:
        return f"{self.prefix}log:rewritten"

    @property
    def every_shard_pattern(self) -> str:
        """A SCAN pattern for the keys of all shards: one pass serves however many are looked for."""
        return f"{self.prefix}{{s*}}:*"

    @property
    def every_engagement_pattern(self) -> str:
        """A SCAN pattern for the `engagement` keys of all shards."""
        return f"{self.prefix}{{s*}}:{ENGAGEMENT}:*"

    @property
    def fence_pattern(self) -> str:
        """A SCAN pattern for the fences of all shards and groups."""
        return f"{self.prefix}{{s*}}:fence:*"

    def tag(self, shard: Shard) -> str:
        """What every key of a shard begins with: the prefix and the shard's hash tag."""
        return f"{self.prefix}{{s{shard}}}"

    def scratch_tag(self, shard: Shard, token: str) -> str:
        """What every scratch key of one self-test begins with; they are deleted at its end."""
        return f"{self.tag(shard)}:self-test:{token}"

    def shard_of(self, key: str) -> Shard | None:
        """The shard that a key belongs to; None for a key of none, or under another prefix."""
        match = self._match(key)
        return None if match is None else Shard(int(match[1]))

    def learner_of_engagement(self, key: str) -> tuple[Shard, str] | None:
        """The shard and the user id inside an `engagement` key (the id may itself hold colons and braces)."""
        match = self._match(key)
        if match is None or not key.startswith(f"{ENGAGEMENT}:", match.end()):
            return None
        return Shard(int(match[1])), key[match.end() + len(ENGAGEMENT) + 1 :]

    def _match(self, key: str) -> re.Match[str] | None:
        return _SHARD_KEY.match(key, len(self.prefix)) if key.startswith(self.prefix) else None

    def state(self, shard: Shard, name: str, owner: str = "") -> str:
        """The key of a projection's state: of one owner, or of the shard itself."""
        return key_under(self.tag(shard), name, owner)

    def guard(self, shard: Shard, group: str) -> str:
        return f"{self.tag(shard)}:guard:{group}"

    def commit_intent(self, shard: Shard, group: str) -> str:
        return f"{self.tag(shard)}:intent:{group}"

    def fence(self, shard: Shard, group: str) -> str:
        return f"{self.tag(shard)}:fence:{group}"

    def engagement(self, shard: Shard, user_id: str) -> str:
        return self.state(shard, ENGAGEMENT, user_id)

    def erased(self, shard: Shard) -> str:
        return self.state(shard, ERASED)

    def merged(self, shard: Shard) -> str:
        return self.state(shard, MERGED)

    def users(self, shard: Shard) -> str:
        return self.state(shard, USERS)

    def indexed(self, shard: Shard) -> str:
        return self.state(shard, "indexed")

    def done(self, shard: Shard, user_id: str) -> str:
        return self.state(shard, DONE, user_id)

    def bot(self, shard: Shard, user_id: str) -> str:
        return self.state(shard, BOT, user_id)

    def trend(self, shard: Shard) -> str:
        return self.state(shard, TREND)

    def terms(self, shard: Shard) -> str:
        return self.state(shard, TERMS)

    def dirty(self, shard: Shard) -> str:
        return self.state(shard, DIRTY)

    def top(self, shard: Shard, user_id: str) -> str:
        return self.state(shard, TOP, user_id)

    def published(self, shard: Shard) -> str:
        return f"{self.tag(shard)}:model"

    def counts(self, shard: Shard) -> str:
        return self.state(shard, COUNTS)

    def worker(self, worker_id: str) -> str:
        return f"{self.prefix}worker:{worker_id}"
