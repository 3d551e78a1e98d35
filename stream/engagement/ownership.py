"""Whose state Redis holds is settled before a worker touches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from recsys.errors import ForeignState, UnreadableState
from recsys.keys import Partition, Topology
from recsys.online_store import Control, Lists, ShardStore
from recsys.owner import STARTS_OVER, StateOwner, check_owner, is_beyond

log = structlog.get_logger(__name__)

Bounds = Mapping[int, tuple[int, int] | None]
"""Partition → first offset of its log and the one after its last; None where no broker answers."""

ReadBounds = Callable[[], Awaitable[Bounds]]


class ClaimedStore(Control, Lists, ShardStore, Protocol):
    """What is used of the online store."""


async def claim_state(
    store: ClaimedStore, topology: Topology, own: StateOwner, read_bounds: ReadBounds, *, key: str
) -> Topology:
    """Agrees on the topology in force and on whose the state is.

    State of an earlier release names no owner. It is taken over only if its fences can be offsets of this log, and are
    those of this group.

    Args:
        store: The online store.
        topology: What is written if there is none.
        own: What this process is of.
        read_bounds: Of the log; asked after the fences were read, because other workers may move them meanwhile.
        key: The topology's key, for messages.

    Raises:
        ForeignState: The state is another deployment's, group's or log's, or another application's.
        UnreadableState: The topology cannot be read.
    """
    if await store.topology() is None:
        await _expect_nothing_foreign(store)
    in_force = await store.establish_topology(topology, own)
    held = await store.owner()
    check_owner(key, held, own)
    if held is None or (held.log.topic_id is None and own.log.topic_id is not None):
        await _expect_own_fences(store, in_force, own, read_bounds)
        if await store.claim_state(held, own):
            log.info("state_claimed", deployment=own.deployment, group=own.group, topic=str(own.log))
    return in_force


async def _expect_nothing_foreign(store: ClaimedStore) -> None:
    """Keys with plain names that are there before any topology, and are not of our form, are another application's."""
    for read in (store.trending, store.model, store.previous_model):
        try:
            await read()
        except UnreadableState as error:
            raise ForeignState(
                f"Redis key {error.key!r} is there before any state of this system, and is not of its form: another "
                "application may use this database; set RECSYS_REDIS_KEY_PREFIX, or delete the key if nobody uses it"
            ) from None


async def _expect_own_fences(store: ShardStore, topology: Topology, own: StateOwner, read_bounds: ReadBounds) -> None:
    fences: dict[Partition, int] = {}
    applied = 0
    for partition in topology.every_partition():
        shard = topology.shard(partition)
        with suppress(UnreadableState):  # the partition's own trouble: it is isolated and named
            applied += sum((await store.counts(shard)).values())
            fence = await store.fence(shard, own.group)
            if fence is not None:
                fences[partition] = fence
    bounds = await read_bounds()
    for partition, fence in fences.items():
        if is_beyond(fence, there := bounds.get(partition)) and there is not None:
            raise ForeignState(
                f"the fence of partition {partition} is {fence}, and the log of topic {own.log} ends at {there[1]}: "
                f"the state in Redis was folded from another topic; {STARTS_OVER}"
            )
    if applied and not fences:
        raise ForeignState(
            f"the state in Redis has {applied} records applied and no fence of consumer group {own.group!r}: another "
            "group folded it; use that one (RECSYS_CONSUMER_GROUP), give this one a RECSYS_REDIS_KEY_PREFIX of its "
            "own, or hand the state over with `recsys rebuild`"
        )
