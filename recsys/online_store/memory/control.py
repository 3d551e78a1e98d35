"""Topology, owner and worker ids in memory."""

from __future__ import annotations

from collections.abc import Sequence

from recsys import keys
from recsys.keys import Topology
from recsys.online_store.durability import Durability
from recsys.online_store.memory.shard import ShardTable
from recsys.owner import StateOwner


class MemoryControl:
    """`Control` in memory, all but the model."""

    def __init__(self, shards: ShardTable) -> None:
        self._shards = shards
        self._topology: Topology | None = None
        self._owner: StateOwner | None = None
        self._workers: dict[str, str] = {}

    async def topology(self) -> Topology | None:
        return self._topology

    async def establish_topology(self, topology: Topology, owner: StateOwner | None = None) -> Topology:
        if self._topology is None:
            self._topology, self._owner = topology, owner
        return self._topology

    async def owner(self) -> StateOwner | None:
        return self._owner

    async def claim_state(self, before: StateOwner | None, owner: StateOwner) -> bool:
        if self._topology is None or self._owner != before:
            return False
        self._owner = owner
        return True

    async def switch_topology(
        self, before: Topology | None, topology: Topology, owner: StateOwner | None = None
    ) -> bool:
        if self._topology != before:
            return False
        self._topology, self._owner = topology, owner
        return True

    async def generations(self) -> Sequence[int]:
        return sorted({shard // keys.SHARDS_A_GENERATION for shard, state in self._shards.items() if state.fences})

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:  # no clock here: never expires
        return self._workers.setdefault(worker_id, token) == token

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        if self._workers.get(worker_id) == token:
            del self._workers[worker_id]

    async def durability(self) -> Durability:
        return Durability("noeviction", append_only=True, snapshots=False, evicted_keys=0)

    async def rewrite_log(self, run_id: str) -> bool:
        return False

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return
