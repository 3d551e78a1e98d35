"""`Control` on Redis but for the model pointer (`publication`): topology, worker ids, the connection itself."""

from __future__ import annotations

from typing import cast

import msgspec
from redis.asyncio import Redis

from recsys import keys
from recsys.keys import Topology
from recsys.online_store.redis.connection import answering, read_json
from recsys.online_store.redis.scripts import HOLD, RELEASE, REPLACE


class RedisControl:
    """What all processes agree on.

    Args:
        connection: A client in bytes mode without retries.
    """

    def __init__(self, connection: Redis) -> None:
        self._client = connection
        self._hold = connection.register_script(HOLD)
        self._release = connection.register_script(RELEASE)
        self._replace = connection.register_script(REPLACE)

    async def topology(self) -> Topology | None:
        return await read_json(self._client, keys.TOPOLOGY, Topology)

    async def establish_topology(self, topology: Topology) -> Topology:
        async with answering():
            await self._client.set(keys.TOPOLOGY, msgspec.json.encode(topology), nx=True)
        return cast("Topology", await self.topology())

    async def switch_topology(self, before: Topology | None, topology: Topology) -> bool:
        async with answering():
            value = await self._client.get(keys.TOPOLOGY)
            if (None if value is None else msgspec.json.decode(value, type=Topology)) != before:
                return False
            return bool(await self._replace(keys=[keys.TOPOLOGY], args=[value or b"", msgspec.json.encode(topology)]))

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:
        async with answering():
            return bool(await self._hold(keys=[keys.worker(worker_id)], args=[token, ttl_ms]))

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        async with answering():
            await self._release(keys=[keys.worker(worker_id)], args=[token])

    async def ping(self) -> None:
        async with answering():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()
