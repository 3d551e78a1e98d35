"""The topology in whatever format: for what must know that an earlier release folded the state, and to migrate it."""

from __future__ import annotations

from recsys.errors import OutdatedState
from recsys.keys import Topology
from recsys.online_store.ports.control import Control


async def any_topology(store: Control) -> Topology | None:
    """The topology, of an earlier release's shards too; None where there is none.

    Raises:
        UnreadableState: It cannot be read, or a newer release wrote it.
        ServiceUnavailable: The store does not answer.
    """
    try:
        return await store.topology()
    except OutdatedState as found:
        return Topology(found.partitions, found.generation, found.state_format)
