"""The online store: what the speed layer writes and the serving layer reads.

`ports` names the four Protocols; a package takes those that it uses. `values` holds what they take and give. Adapters:
`redis.store.RedisStore` and `memory.MemoryStore` (for tests and the rebuild); one contract suite runs on both.
A commit is all or nothing, and happens only if the fence still is what it was.
"""

from recsys.online_store.pointer import Line, ModelPointer
from recsys.online_store.ports import OnlineStore
from recsys.online_store.ports.control import Control
from recsys.online_store.ports.guards import Guards
from recsys.online_store.ports.lists import Lists
from recsys.online_store.ports.shards import ShardStore
from recsys.online_store.values import (
    AllActivity,
    CachedTop,
    Effects,
    Guard,
    Listed,
    ShardState,
    ShardTrend,
    Stop,
    Trending,
    UserState,
    Waiting,
)

__all__ = [
    "AllActivity",
    "CachedTop",
    "Control",
    "Effects",
    "Guard",
    "Guards",
    "Line",
    "Listed",
    "Lists",
    "ModelPointer",
    "OnlineStore",
    "ShardState",
    "ShardStore",
    "ShardTrend",
    "Stop",
    "Trending",
    "UserState",
    "Waiting",
]
