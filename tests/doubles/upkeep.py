"""What a worker does beside its records, without a worker."""

from __future__ import annotations

from typing import Any, cast

from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import Settings, load_settings
from stream.engagement.upkeep import Upkeep


def upkeep_of(store: MemoryStore, topology: Topology, settings: Settings | None = None, **changes: Any) -> Upkeep:
    """Of a worker that owns nothing, with some of its parts changed."""
    parts = {"partitions": None, "owned": set, "rebalancing": lambda: False, "now_ms": lambda: 5} | changes
    return Upkeep(settings or load_settings(), store, topology, **cast("Any", parts))
