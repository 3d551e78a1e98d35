"""The status compares the fence in Redis with the end of each partition's log, which is how far the workers are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from recsys.errors import ForeignState, OutdatedState, UnreadableState
from recsys.kafka.admin import log_bounds, log_identity
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Guard
from recsys.online_store.outdated import any_topology
from recsys.online_store.redis.store import RedisStore
from recsys.owner import STARTS_OVER, LogIdentity, StateOwner, check_owner, is_beyond
from recsys.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of the interactions topic.

    Attributes:
        partition: Its number.
        fence: Offset of the last applied record; None before the first.
        log_start: First offset Kafka still holds; None, like the next two, while no broker answers for it.
        log_end: Offset the next record will get.
        lag: Records that are not applied yet.
        counts: Outcome (accepted, unchanged, refused, rerouted, expired) → records.
        stopped: Why it is not read any further until `recsys resume`; None while it is.
    """

    partition: int
    fence: int | None
    log_start: int | None
    log_end: int | None
    lag: int | None
    counts: Mapping[str, int]
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The whole of it.

    Attributes:
        topic: The interactions topic.
        group: The workers' consumer group.
        generation: Of the shards in use: how often `recsys rebuild` switched.
        model: Version of the published model; None before the first.
        lag: Records of all partitions that are not applied yet; None while no broker answers for one of them.
        counts: Outcome → records of all partitions.
        partitions: One each.
        problem: Why the state is not this deployment's, group's or topic's, so that no lag can be told; or that an
            earlier release folded it, whose lag can. Else None.
    """

    topic: str
    group: str
    generation: int
    model: str | None
    lag: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    partitions: tuple[PartitionStatus, ...] = ()
    problem: str | None = None


async def read_status(settings: Settings) -> SystemStatus:
    """Asks Kafka and Redis.

    Raises:
        ServiceUnavailable: One of them does not answer.
        ConfigurationError: The topic does not exist.
    """
    bounds = await asyncio.to_thread(log_bounds, settings, settings.interactions_topic)
    identity = await asyncio.to_thread(log_identity, settings)
    store = RedisStore.for_stream(settings.redis)
    try:
        topology = await any_topology(store) or Topology(len(bounds))  # fences and counters are as ever in every format
        problem = _foreign(settings, await store.owner(), identity)
        rows = [await _partition_status(store, settings, topology, Partition(p), bounds[p]) for p in sorted(bounds)]
        if any(is_beyond(row.fence, bounds[row.partition]) for row in rows):  # or it moved since the log was asked
            bounds |= await asyncio.to_thread(log_bounds, settings, settings.interactions_topic)
            rows = [_beside_its_log(row, bounds[row.partition]) for row in rows]
        if problem is not None:
            rows = [replace(row, lag=None) for row in rows]
        problem = problem or await _outdated(store)
        model = await _model_version(store)
    finally:
        await store.close()
    names = sorted({name for row in rows for name in row.counts})
    lags = [row.lag for row in rows if row.lag is not None]
    return SystemStatus(
        topic=settings.interactions_topic,
        group=settings.consumer_group,
        generation=topology.generation,
        model=model,
        lag=sum(lags) if len(lags) == len(rows) else None,
        counts={name: sum(row.counts.get(name, 0) for row in rows) for name in names},
        partitions=tuple(rows),
        problem=problem,
    )


def _foreign(settings: Settings, held: StateOwner | None, identity: LogIdentity) -> str | None:
    own = StateOwner(settings.deployment, settings.consumer_group, identity)
    try:
        check_owner(KeySpace(settings.redis_key_prefix).topology, held, own)
    except ForeignState as error:
        return str(error)
    return None


async def _outdated(store: RedisStore) -> str | None:
    try:
        await store.topology()
    except OutdatedState as error:
        return str(error)
    return None


async def _model_version(store: RedisStore) -> str | None:
    try:
        model = await store.model()
    except UnreadableState as error:
        return f"unknown ({error})"
    return None if model is None else model.version


async def _partition_status(
    store: RedisStore, settings: Settings, topology: Topology, partition: Partition, bounds: tuple[int, int] | None
) -> PartitionStatus:
    shard, group = topology.shard(partition), settings.consumer_group
    problems: list[str] = []
    fence = await _readable(store.fence(shard, group), None, problems)
    guard = await _readable(store.guard(shard, group), Guard(), problems)
    counts = await _readable(store.counts(shard), {}, problems)
    stopped = None if guard.stop is None else f"at offset {guard.stop.offset}: {guard.stop.reason}"
    if problems and stopped is None:
        stopped = f"at its fence: {problems[0]}"
    return PartitionStatus(
        partition=partition,
        fence=fence,
        log_start=None if bounds is None else bounds[0],
        log_end=None if bounds is None else bounds[1],
        lag=None if bounds is None or (fence is None and problems) else lag(fence, *bounds),
        counts=dict(counts),
        stopped=stopped,
    )


def _beside_its_log(row: PartitionStatus, bounds: tuple[int, int] | None) -> PartitionStatus:
    """The row with the bounds of its log as they are after its fence was read; no lag where the fence is not of it."""
    if bounds is None:
        return row
    row = replace(row, log_start=bounds[0], log_end=bounds[1])
    if not is_beyond(row.fence, bounds):
        return replace(row, lag=None if row.lag is None else lag(row.fence, *bounds))
    problem = f"fence {row.fence} lies beyond the log's end {bounds[1]}: it is of another log; {STARTS_OVER}"
    return replace(row, lag=None, stopped=row.stopped or f"at its fence: {problem}")


async def _readable(read: Awaitable[T], otherwise: T, problems: list[str]) -> T:
    """What is read; `otherwise` and a note where no retry mends the key."""
    try:
        return await read
    except UnreadableState as error:
        problems.append(str(error))
        return otherwise


def lag(fence: int | None, log_start: int, log_end: int) -> int:
    """Records between the last applied one and the end of the log; those that retention deleted are not waiting."""
    next_offset = log_start if fence is None else max(fence + 1, log_start)
    return max(0, log_end - next_offset)
