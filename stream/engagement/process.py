"""The composition root of a worker process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
import uvloop

from recsys.errors import TopologyMismatch, UnreadableState
from recsys.kafka.admin import check_interactions_topic, log_bounds, topic_partitions
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Control
from recsys.online_store.durability import check_eviction
from recsys.online_store.outdated import any_topology
from recsys.online_store.redis.store import RedisStore
from recsys.owner import StateOwner
from recsys.process.allocator import use_one_arena
from recsys.process.garbage import collect_rarely
from recsys.process.logs import configure_logging
from recsys.process.metrics_server import serve_metrics
from recsys.settings import Settings, load_settings
from stream.engagement.commands import stream_store
from stream.engagement.ownership import ClaimedStore, claim_state

log = structlog.get_logger(__name__)

QUIET = {"aiokafka": logging.ERROR, "stream.transport.chunks": logging.WARNING}
"""aiokafka warns of every reconnection; Faust names the logger of its consumer after the module of our subclass."""


def run(worker_id: str | None) -> None:
    """Runs one worker until SIGTERM or SIGINT; where the topology was switched, this very command anew.

    Raises:
        RecsysError: The worker cannot start: settings, a service, the topology or the worker id.
    """
    use_one_arena()
    settings = load_settings()
    configure_logging(settings, quiet=QUIET)
    if uvloop.run(_run_worker(settings, worker_id)):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command, new topology


async def _run_worker(settings: Settings, worker_id: str | None) -> bool:
    """Runs a worker to its end; returns whether one of a new topology has to take over."""
    from stream.engagement.worker import EngagementWorker  # noqa: PLC0415 - faust reads the environment when it is imported

    store = stream_store(settings)
    try:
        if settings.worker_metrics_port:
            serve_metrics(settings.worker_metrics_host, settings.worker_metrics_port, asyncio.get_running_loop())
        await _expect_durability(settings, store)
        topology, owner = await _agreed_topology(settings, store)
        await store.self_test(topology.shard(Partition(0)))  # a right that is missing is told now, not in a commit
        worker = EngagementWorker(settings, store, topology=topology, owner=owner, worker_id=worker_id)
        stop = asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        collect_rarely()
        return await worker.run(stop)
    finally:
        await store.close()


async def _tell_of_an_earlier_release(settings: Settings, store: Control) -> None:
    """State without a prefix is left alone; that it is not gone on with must not come as a surprise."""
    if not settings.redis_key_prefix or await any_topology(store) is not None:
        return
    unprefixed = RedisStore.for_stream(replace(settings.redis, key_prefix=""))
    try:
        with suppress(UnreadableState):  # another application's
            if await any_topology(unprefixed) is not None:
                log.warning(
                    "state_of_an_earlier_release",
                    effect=f"the topic is folded again under {settings.redis_key_prefix!r}",
                    remedy="RECSYS_REDIS_KEY_PREFIX= and `recsys rebuild` migrate the old keys; `recsys doctor` says "
                    "how to delete them",
                )
    finally:
        await unprefixed.close()


async def _expect_durability(settings: Settings, store: Control) -> None:
    found = await store.durability()
    check_eviction(found, allowed=settings.redis_allow_eviction)
    if found.evicts:
        log.error("redis_evicts", policy=found.eviction_policy, effect="learners vanish once its memory is full")
    if found.eviction_policy is None:
        log.warning("redis_policy_unknown", remedy="grant INFO to the user of REDIS_URL, or see to noeviction yourself")
    if found.persists is False:
        log.warning(
            "redis_does_not_persist",
            effect="a restart of Redis loses the state, and workers fold the topic again",
            remedy="appendonly yes",
        )


async def _agreed_topology(settings: Settings, store: ClaimedStore) -> tuple[Topology, StateOwner]:
    """The topology in Redis, and whose its state is.

    A topic with more partitions than the topology is read under it: their records are rerouted.
    """
    in_kafka = await asyncio.to_thread(topic_partitions, settings)
    own = StateOwner(
        settings.deployment, settings.consumer_group, await asyncio.to_thread(check_interactions_topic, settings)
    )
    if own.log.topic_id is None:
        log.info("topic_identity_unknown", topic=str(own.log), effect="a topic made anew is not noticed")
    bounds = partial(asyncio.to_thread, log_bounds, settings, settings.interactions_topic)
    key = KeySpace(settings.redis.key_prefix).topology
    await _tell_of_an_earlier_release(settings, store)
    topology = await claim_state(store, Topology(in_kafka), own, bounds, key=key)
    if topology.partitions > in_kafka:
        raise TopologyMismatch(
            f"topic {settings.interactions_topic!r} has {in_kafka} partitions, and the state in Redis is sharded by "
            f"{topology.partitions}: this is another topic, or it was made anew; run `recsys rebuild` for this one"
        )
    if topology.partitions < in_kafka:
        log.warning("topic_has_grown", partitions=in_kafka, topology=topology, remedy="recsys rebuild --partitions")
    return topology, own
