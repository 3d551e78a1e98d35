"""The online store in this process's memory: for tests that need no Redis, and for the rebuild. Same contract suite.

Its parts are those of `recsys.online_store.redis`, over one table of shards.
"""

from __future__ import annotations

from recsys.online_store.memory.control import MemoryControl
from recsys.online_store.memory.guards import MemoryGuards
from recsys.online_store.memory.lists import MemoryLists
from recsys.online_store.memory.publication import MemoryPublication
from recsys.online_store.memory.shard import MemoryShard, ShardTable
from recsys.online_store.memory.shards import MemoryShards


class MemoryStore(MemoryShards, MemoryLists, MemoryPublication, MemoryControl, MemoryGuards):
    """`OnlineStore` in memory."""

    def __init__(self) -> None:
        shards = ShardTable(MemoryShard)
        MemoryShards.__init__(self, shards)
        MemoryLists.__init__(self, shards)
        MemoryPublication.__init__(self, shards)
        MemoryControl.__init__(self, shards)
        MemoryGuards.__init__(self, shards)
