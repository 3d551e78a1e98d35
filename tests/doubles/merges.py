"""What is merged for all, without a worker."""

from __future__ import annotations

from typing import Any, cast

from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement.merges import Merges


def merges_of(store: MemoryStore, topology: Topology, **changes: Any) -> Merges:
    """Of a worker that owns nothing, with some of its parts changed."""
    parts = {"owned": set, "now_ms": lambda: 5} | changes
    return Merges(load_settings(), store, topology, **cast("Any", parts))
