"""Whether Redis keeps what a worker writes: it may not delete keys, and no torn transaction may stay in its file."""

from __future__ import annotations

import asyncio

import structlog

from recsys.errors import UnreadableState
from recsys.online_store import Control
from recsys.online_store.durability import check_eviction
from stream.engagement import metrics
from stream.engagement.quietly import quietly

log = structlog.get_logger(__name__)

DURABILITY_EVERY_S = 5.0


class RedisWatch:
    """Asks Redis for as long as a worker runs; one that does not answer postpones a look.

    Args:
        store: The online store.
        allow_eviction: Whether a setting accepts that Redis deletes keys.
        every_s: Seconds between questions.
    """

    def __init__(self, store: Control, *, allow_eviction: bool, every_s: float = DURABILITY_EVERY_S) -> None:
        self._store, self._allow_eviction, self._every_s = store, allow_eviction, every_s
        self._evicted = 0
        self._rewritten: str | None = None

    async def watch_redis(self) -> None:
        """Notices that Redis may delete keys to make room, or did; has it write its file anew after each of its starts.

        Raises:
            ConfigurationError: It may, and no setting accepts that.
        """
        while True:
            await asyncio.sleep(self._every_s)
            await quietly(self._check_durability)

    async def _check_durability(self) -> None:
        found = await self._store.durability()
        check_eviction(found, allowed=self._allow_eviction)
        if found.evicted_keys is not None:
            if found.evicted_keys > self._evicted:
                log.error("redis_evicted_keys", keys=found.evicted_keys, remedy="more memory, then `recsys rebuild`")
            self._evicted = found.evicted_keys
            metrics.EVICTED_KEYS.set(found.evicted_keys)
        if found.append_only and found.run_id is not None and found.run_id != self._rewritten:
            await self._rewrite_log(found.run_id)

    async def _rewrite_log(self, run_id: str) -> None:
        """Asked for once after a start, also where the right to it is missing."""
        try:
            if await self._store.rewrite_log(run_id):
                log.info("redis_log_rewritten", why="a transaction that a power cut tore would be applied later")
        except UnreadableState as error:
            log.warning("redis_log_not_rewritten", error=str(error), remedy="BGREWRITEAOF after each start of Redis")
        self._rewritten = run_id
