"""What a rebuild reads of the shards in use; what cannot be read there is as if Redis had lost it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from recsys.errors import UnreadableState
from recsys.events import EVENT_TYPES
from recsys.keys import Partition, Topology
from recsys.online_store import Control, Guard, Guards, ShardStore
from recsys.online_store.outdated import any_topology
from recsys.owner import StateOwner

log = structlog.get_logger(__name__)

T = TypeVar("T")

HANDED_ON = "handed-on"
TYPES_OF_FORMAT_1 = frozenset(
    {"view", "click", "play", "progress", "bookmark", "enroll", "complete", "rate", "dismiss", "unenroll"}
)
"""Events that workers of releases up to 31e9a26 know; they refused all others, and handed nothing on."""


class PreviousStore(ShardStore, Control, Guards, Protocol):
    """What is used of the online store."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The shards in use when a rebuild begins.

    Attributes:
        store: The online store.
        group: Consumer group.
        written: The topology in Redis, an earlier release's too; None where there is none, or none that can be read.
        topology: The shards in use as far as is known.
        owner: Whose they are; None where nothing says it.
        same_log: Whether their offsets are those of the log that is rebuilt from.
    """

    store: PreviousStore
    group: str
    written: Topology | None
    topology: Topology
    owner: StateOwner | None = None
    same_log: bool = True

    @classmethod
    async def find(cls, store: PreviousStore, group: str, partitions: int) -> Previous:
        """Reads the topology; where it cannot be read, the newest generation of which a shard has a fence is in use.

        Args:
            store: The online store.
            group: Consumer group.
            partitions: Partition count of the topic, where Redis does not say it.

        Raises:
            UnreadableState: A newer release wrote the topology: its shards are not this release's to replace.
        """
        try:
            written = await any_topology(store)
        except UnreadableState as error:
            if error.newer:
                raise
            log.warning("unreadable_state_left_out", error=str(error))
            return cls(store, group, None, Topology(partitions, max([0, *await store.generations()])))
        owner = await _readable(store.owner(), None)
        return cls(store, group, written, written or Topology(partitions), owner)

    async def is_in_use(self) -> bool:
        """Whether Redis still says of the topology what it said when the rebuild began."""
        return await _readable(any_topology(self.store), None) == self.written

    @property
    def passed_types(self) -> frozenset[str]:
        """Types of events that its workers know: what goes with those that they passed is in the log."""
        return TYPES_OF_FORMAT_1 if self.topology.state_format == 1 else frozenset({*EVENT_TYPES, HANDED_ON})

    async def fence(self, partition: Partition) -> int | None:
        """The last applied offset; None where there is none, none that can be read, or one of another log."""
        if not self.same_log:
            return None
        return await _readable(self.store.fence(self.topology.shard(partition), self.group), None)

    async def guard(self, partition: Partition) -> Guard:
        """The guard, without a stop that a rebuild heals; an empty one where it cannot be read or is of another log."""
        if not self.same_log:
            return Guard()
        guard = await _readable(self.store.guard(self.topology.shard(partition), self.group), Guard())
        if guard.stop is None or guard.stop.unreadable is None:
            return guard
        return replace(guard, stop=None)


async def _readable(read: Awaitable[T], otherwise: T) -> T:
    try:
        return await read
    except UnreadableState as error:
        log.warning("unreadable_state_left_out", error=str(error))
        return otherwise
