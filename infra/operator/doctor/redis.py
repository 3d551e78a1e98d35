"""What `recsys doctor` asks of Redis: the connection, what it keeps, rights, keys, whose state it is, the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from infra.operator.doctor.finding import Finding, ok, problem, warning
from recsys.errors import (
    BundleError,
    ConfigurationError,
    ForeignState,
    RecsysError,
    ServiceUnavailable,
    UnreadableState,
)
from recsys.keys import KeySpace, Partition, Topology
from recsys.model.bundle import load_bundle
from recsys.online_store.durability import check_eviction
from recsys.online_store.outdated import any_topology
from recsys.online_store.redis.store import RedisStore
from recsys.owner import LogIdentity, StateOwner, check_owner
from recsys.settings import Settings

UNPREFIXED = (
    "once workers have folded the topic under the prefix, delete them: `redis-cli --scan --pattern '{s*}:*' | xargs "
    "-d '\\n' redis-cli unlink`, then `redis-cli unlink topology trending model:current model:previous`; to migrate "
    "them instead, set RECSYS_REDIS_KEY_PREFIX to nothing and run `recsys rebuild`"
)


async def redis_findings(settings: Settings, identity: LogIdentity | None) -> list[Finding]:
    """Everything that Redis is asked.

    Args:
        settings: All.
        identity: Which log the interactions topic is; None where Kafka did not say.
    """
    try:
        store = RedisStore.for_stream(settings.redis)
    except ConfigurationError as error:
        return [problem("redis", error)]
    try:
        await store.ping()
        found = [ok("redis", f"answers at {settings.redis}, keys under {settings.redis_key_prefix!r}")]
        for part in (
            _keeps(settings, store),
            _rights(store),
            _state(settings, store, identity),
            _model(settings, store),
        ):
            found += [finding async for finding in part]
        return [*found, *[finding async for finding in _earlier_release(settings)]]
    except (ServiceUnavailable, UnreadableState) as error:
        return [problem("redis", error)]
    finally:
        await store.close()


async def _keeps(settings: Settings, store: RedisStore) -> AsyncIterator[Finding]:
    found = await store.durability()
    try:
        check_eviction(found, allowed=settings.redis_allow_eviction)
    except ConfigurationError as error:
        yield problem("redis eviction", error)
    else:
        if found.eviction_policy is None:
            yield warning("redis eviction", "not known: INFO is refused", "see to maxmemory-policy noeviction")
        elif found.evicts:
            yield warning(
                "redis eviction", f"maxmemory-policy {found.eviction_policy}: learners vanish when it is full"
            )
        else:
            yield ok("redis eviction", f"maxmemory-policy {found.eviction_policy}")
    if found.evicted_keys:
        lost = f"{found.evicted_keys} keys were deleted to make room since Redis started"
        yield problem("redis evicted keys", lost, "give it more memory, then `recsys rebuild`")
    if found.persists is None:
        yield warning("redis persistence", "not known: INFO or CONFIG GET is refused", "see to `appendonly yes`")
    elif not found.persists:
        yield warning(
            "redis persistence", "neither append-only file nor snapshots: a restart loses all", "appendonly yes"
        )
    elif not found.append_only:
        yield warning(
            "redis persistence", "snapshots only: a crash loses minutes, which are read again", "appendonly yes"
        )
    else:
        yield ok("redis persistence", "append-only file")


async def _rights(store: RedisStore) -> AsyncIterator[Finding]:
    try:
        topology = await store.topology() or Topology(1)
    except UnreadableState:
        topology = Topology(1)
    try:
        await store.self_test(topology.shard(Partition(0)))
    except RecsysError as error:
        yield problem("redis rights", error)
    else:
        yield ok("redis rights", "every command of every script is allowed")


async def _state(settings: Settings, store: RedisStore, identity: LogIdentity | None) -> AsyncIterator[Finding]:
    key = KeySpace(settings.redis_key_prefix).topology
    try:
        topology, held = await store.topology(), await store.owner()
    except UnreadableState as error:
        yield problem("state", error)
        return
    if topology is None:
        yield warning("state", "there is none yet", "`recsys topics`, then `recsys stream`")
        return
    log = identity or (LogIdentity(settings.interactions_topic) if held is None else held.log)
    try:
        check_owner(key, held, StateOwner(settings.deployment, settings.consumer_group, log))
    except ForeignState as error:
        yield problem("state", error)
        return
    shape = f"{topology.partitions} shards of generation {topology.generation}"
    if held is None:
        yield warning("state", f"{shape}; nothing says whose", "the next worker of this release writes it")
    elif held.log.topic_id is None:
        yield warning(
            "state", f"{shape} of {held.deployment!r}; its broker has no topic ids: one made anew is not noticed"
        )
    else:
        yield ok("state", f"{shape}, of deployment {held.deployment!r}, group {held.group!r}, topic {held.log}")


async def _model(settings: Settings, store: RedisStore) -> AsyncIterator[Finding]:
    try:
        pointer = await store.model()
    except UnreadableState as error:
        yield problem("model", error)
        return
    if pointer is None:
        yield warning("model", "none is published", "`recsys retrain`")
        return
    folders = (settings.models_dir / pointer.version, Path(pointer.path))
    folder = next((each for each in folders if each.is_dir()), None)
    if folder is None:
        yield problem(
            "model", f"{pointer.version} is published, and there is no folder {folders[0]}", "RECSYS_MODELS_DIR"
        )
        return
    try:
        load_bundle(folder)
    except BundleError as error:
        yield problem("model", error, "`recsys models rollback VERSION`")
    else:
        yield ok("model", f"{pointer.version} is published and whole")


async def _earlier_release(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.redis_key_prefix:
        yield warning(
            "key prefix", "none: the database cannot be shared", "as releases up to d1a576b, to run beside one"
        )
        return
    store = RedisStore.for_stream(replace(settings.redis, key_prefix=""))
    try:
        topology = await any_topology(store)
    except UnreadableState:
        topology = None  # another application's
    finally:
        await store.close()
    if topology is None:
        yield ok("key prefix", f"{settings.redis_key_prefix!r}; no keys of an earlier release")
    else:
        yield warning("key prefix", f"keys of a release without prefix: {topology.partitions} shards", UNPREFIXED)
