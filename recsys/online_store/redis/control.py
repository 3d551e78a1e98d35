"""`Control` on Redis but for the model pointer (`publication`): topology, worker ids, the connection itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from recsys.errors import UnreadableState
from recsys.keys import SHARDS_A_GENERATION, KeySpace, Topology
from recsys.online_store.durability import Durability
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.scripts import HOLD, RELEASE, REPLACE
from recsys.online_store.redis.topology import (
    REMEDY,
    decode_any_topology,
    decode_owner,
    decode_topology,
    encode_topology,
)
from recsys.owner import StateOwner

SCAN_COUNT = 500
WORKER_ID_REMEDY = "delete the key: it is no worker's claim"


class RedisControl:
    """What all processes agree on.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
    """

    def __init__(self, connection: Redis, keys: KeySpace) -> None:
        self._client, self._keys = connection, keys
        self._hold = connection.register_script(HOLD)
        self._release = connection.register_script(RELEASE)
        self._replace = connection.register_script(REPLACE)

    async def topology(self) -> Topology | None:
        async with answering(self._keys.topology, remedy=REMEDY):
            value = await self._client.get(self._keys.topology)
        return decode_topology(self._keys.topology, cast("bytes | None", value))

    async def establish_topology(self, topology: Topology, owner: StateOwner | None = None) -> Topology:
        async with answering(self._keys.topology, remedy=REMEDY):
            await self._client.set(self._keys.topology, encode_topology(topology, owner), nx=True)
        return cast("Topology", await self.topology())

    async def owner(self) -> StateOwner | None:
        async with answering(self._keys.topology, remedy=REMEDY):
            value = await self._client.get(self._keys.topology)
        return decode_owner(self._keys.topology, cast("bytes | None", value))

    async def claim_state(self, before: StateOwner | None, owner: StateOwner) -> bool:
        key = self._keys.topology
        async with answering(key, remedy=REMEDY):
            value = cast("bytes | None", await self._client.get(key))
            topology = decode_topology(key, value)
            if topology is None or decode_owner(key, value) != before:
                return False
            return bool(await self._replace(keys=[key], args=[value or b"", encode_topology(topology, owner)]))

    async def switch_topology(
        self, before: Topology | None, topology: Topology, owner: StateOwner | None = None
    ) -> bool:
        key, after = self._keys.topology, encode_topology(topology, owner)
        try:
            async with answering(key, remedy=REMEDY):
                value = await self._client.get(key)
        except UnreadableState:  # a key of another type
            async with answering(key, remedy=REMEDY):
                return before is None and bool(await self._client.set(key, after))
        if _readable(key, cast("bytes | None", value)) != before:
            return False
        async with answering(key, remedy=REMEDY):
            return bool(await self._replace(keys=[key], args=[value or b"", after]))

    async def generations(self) -> Sequence[int]:
        cursor, there = None, set[int]()
        while cursor != 0:
            async with answering():
                cursor, found = await self._client.scan(cursor or 0, self._keys.fence_pattern, SCAN_COUNT)
            for key in cast("list[bytes]", found):
                there.add((self._keys.shard_of(key.decode()) or 0) // SHARDS_A_GENERATION)
        return sorted(there)

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:
        async with answering(self._keys.worker(worker_id), remedy=WORKER_ID_REMEDY):
            return bool(await self._hold(keys=[self._keys.worker(worker_id)], args=[token, ttl_ms]))

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        async with answering(self._keys.worker(worker_id), remedy=WORKER_ID_REMEDY):
            await self._release(keys=[self._keys.worker(worker_id)], args=[token])

    async def durability(self) -> Durability:
        told: dict[str, Any] = {}
        with suppress(UnreadableState):  # a right that is missing: then it is not known
            async with answering("INFO"):
                told = await self._client.info()
            async with answering("CONFIG"):
                told |= {str(name): value for name, value in (await self._client.config_get("save")).items()}
        save, append_only = told.get("save"), told.get("aof_enabled")
        return Durability(
            eviction_policy=told.get("maxmemory_policy"),
            append_only=None if append_only is None else bool(append_only),
            snapshots=None if save is None else bool(save),
            evicted_keys=told.get("evicted_keys"),
            run_id=told.get("run_id"),
        )

    async def rewrite_log(self, run_id: str) -> bool:
        key, command = self._keys.log_rewritten, "BGREWRITEAOF"
        async with answering(key):
            if await self._client.get(key) == run_id.encode():
                return False
        async with answering(command):
            try:
                await self._client.bgrewriteaof()
            except ResponseError as error:
                if "already in progress" not in str(error):
                    raise
        async with answering(key):
            await self._client.set(key, run_id)
        return True

    async def ping(self) -> None:
        async with answering():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()


def _readable(key: str, value: bytes | None) -> Topology | None:
    """A topology of any format as it was read; None where it cannot be, as if Redis had lost it.

    Raises:
        UnreadableState: A newer release wrote it.
    """
    try:
        return decode_any_topology(key, value)
    except UnreadableState as error:
        if error.newer:
            raise
        return None
