"""What Redis holds of one learner, key by key: for the receipt of an erasure, and for nothing that has to be fast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard, Topology
from recsys.online_store.redis.connection import answering

NO_TIME = "holds a time that is no number"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is held of a learner; all of it is gone after an erasure but `erased_until_ms` and `merged_into`.

    Attributes:
        records: Courses with a record.
        done: Courses not to be recommended.
        bot_features: Whether the bot rules remember anything.
        cached_list: Whether there is a top-N.
        waiting: Whether a refresh of it is due.
        erased_until_ms: The latest erasure, ms since 1970 UTC; None where there was none.
        merged_into: The learner this one was merged into; None where it was not.
    """

    records: int = 0
    done: int = 0
    bot_features: bool = False
    cached_list: bool = False
    waiting: bool = False
    erased_until_ms: int | None = None
    merged_into: str | None = None

    @property
    def anything(self) -> bool:
        """Whether anything is left to be erased."""
        return bool(self.records or self.done or self.bot_features or self.cached_list or self.waiting)


class RedisHoldings:
    """Looks a learner's keys up.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
    """

    def __init__(self, connection: Redis, keys: KeySpace) -> None:
        self._client, self._keys = connection, keys

    async def holdings(self, shard: Shard, user_id: str) -> Holdings:
        """What the shard holds of a learner, in one round trip.

        Raises:
            ServiceUnavailable: Redis does not answer.
            UnreadableState: A key has another type, or a register is none.
        """
        records = self._keys.engagement(shard, user_id)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hlen(records)
        pipeline.hget(self._keys.erased(shard), user_id)
        pipeline.hget(self._keys.merged(shard), user_id)
        pipeline.hlen(self._keys.done(shard, user_id))
        pipeline.hlen(self._keys.bot(shard, user_id))
        pipeline.get(self._keys.top(shard, user_id))
        pipeline.zscore(self._keys.dirty(shard), user_id)
        async with answering(records):
            courses, erased, merged, done, bot, top, mark = await pipeline.execute()
        try:
            return Holdings(
                records=courses,
                done=done,
                bot_features=bool(bot),
                cached_list=top is not None,
                waiting=mark is not None,
                erased_until_ms=None if erased is None else int(erased),
                merged_into=None if merged is None else merged.decode().partition(" ")[2],
            )
        except ValueError:
            raise UnreadableState(self._keys.erased(shard), NO_TIME) from None

    async def erased_until(self, topology: Topology, user_ids: Collection[str]) -> Mapping[str, int]:
        """Those of the learners who were erased, with the time of the latest erasure, ms since 1970 UTC.

        Raises:
            ServiceUnavailable: Redis does not answer.
            UnreadableState: A register is none.
        """
        of_shard: defaultdict[Shard, list[str]] = defaultdict(list)
        for user_id in user_ids:
            of_shard[topology.shard_of(user_id)].append(user_id)
        found: dict[str, int] = {}
        for shard, users in of_shard.items():
            key = self._keys.erased(shard)
            for start in range(0, len(users), PAGE):
                page = users[start : start + PAGE]
                async with answering(key):
                    times = await cast("Awaitable[list[bytes | None]]", self._client.hmget(key, page))
                try:
                    found |= {user: int(at_ms) for user, at_ms in zip(page, times, strict=True) if at_ms is not None}
                except ValueError:
                    raise UnreadableState(key, NO_TIME) from None
        return found
