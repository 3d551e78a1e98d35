"""The ports of the online store: four Protocols, so that a package depends on what it uses and on nothing else.

| port | holds | used by |
|---|---|---|
| `ShardStore` | a shard's state and its fence | the fold, rebuild, `recsys status` |
| `Lists` | cached lists, trending, learners that wait for a list | refresh, publishing, serving |
| `Control` | model pointer, topology, worker ids; the connection | every process |
| `Guards` | what has to outlive a worker: isolation mode, quarantine, stops | worker, rebuild, operator |

Every method raises `ServiceUnavailable` when the store does not answer (a later try may succeed), and `UnreadableState`
when it answers with what no retry mends: a key of another type, a missing right, a value that cannot be read.
"""

from __future__ import annotations

from typing import Protocol

from recsys.online_store.ports.control import Control
from recsys.online_store.ports.guards import Guards
from recsys.online_store.ports.lists import Lists
from recsys.online_store.ports.shards import ShardStore


class OnlineStore(ShardStore, Lists, Control, Guards, Protocol):
    """All four ports: what a composition root makes and hands out."""
