"""`recsys monitor`: the composition root of the prequential monitor."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import click
import structlog
import uvloop

from recsys.errors import ConfigurationError
from recsys.kafka.clients import aiokafka_options
from recsys.keys import KeySpace, Topology
from recsys.model.follower import ModelFollower
from recsys.online_store.redis.store import RedisStore
from recsys.owner import check_deployment
from recsys.process.clock import now_ms
from recsys.process.garbage import collect_rarely
from recsys.process.logs import configure_logging
from recsys.process.metrics_server import serve_metrics
from recsys.process.tasks import cancelled
from recsys.settings import Settings, load_settings
from stream.engagement.commands import stream_store
from stream.engagement.quietly import quietly
from stream.monitor.consume import consume, consumer_of
from stream.monitor.figures import HOUR_MS, LISTS, WINDOWS, Drift, Figures
from stream.monitor.judge import Judge
from stream.monitor.metrics import MonitorMetrics
from stream.monitor.model import MonitoredModel
from stream.monitor.popularity import Popularity

TELL_EVERY_S = 60.0
POPULARITY_HALF_LIFE_MS = 24 * HOUR_MS

log = structlog.get_logger(__name__)


@click.command()
def monitor() -> None:
    """Judge, before each positive event, what would have been recommended; until SIGTERM or Ctrl-C.

    Reports hit rate and NDCG@10 of the cached lists, of the published model and of popularity, over the last hour and
    day, and drift, as metrics on RECSYS_MONITOR_METRICS_PORT and as a line a minute. It changes nothing.
    """
    settings = load_settings()
    configure_logging(settings)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    store, loop, stop = stream_store(settings), asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    figures, drift = Figures(), Drift()
    metrics = MonitorMetrics(figures, drift, now_ms=now_ms)
    if settings.monitor_metrics_port:
        serve_metrics(settings.worker_metrics_host, settings.monitor_metrics_port, loop)
    try:
        topology = await _topology(settings, store)
        follower = ModelFollower(store.model, MonitoredModel.load, settings.models_dir, count=lambda _: None)
        judge = Judge(
            store,
            lambda: follower.current if follower.up_to_date else None,
            topology,
            group=settings.consumer_group,
            weights=settings.engagement_weights,
            exclusion=settings.exclusion,
            share=settings.monitor_share,
            popularity=Popularity(POPULARITY_HALF_LIFE_MS),
            now_ms=now_ms,
            count=metrics.count,
            figures=figures,
            drift=drift,
        )
        await quietly(follower.follow)
        collect_rarely()
        await _until(stop, settings, store, topology, follower, judge)
    finally:
        await store.close()


async def _topology(settings: Settings, store: RedisStore) -> Topology:
    check_deployment(KeySpace(settings.redis_key_prefix).topology, await store.owner(), deployment=settings.deployment)
    topology = await store.topology()
    if topology is None:
        raise ConfigurationError("Redis holds no topology: run `recsys topics`, which writes it")
    return topology


async def _until(
    stop: asyncio.Event,
    settings: Settings,
    store: RedisStore,
    topology: Topology,
    follower: ModelFollower[MonitoredModel],
    judge: Judge,
) -> None:
    """Works until told to stop, or until the topology is another one: then the supervisor starts it anew.

    Raises:
        ConfigurationError: The topology is another one.
        Exception: What a task ended with.
    """
    history_ms = int(settings.monitor_history_hours * HOUR_MS)
    options, most = aiokafka_options(settings), settings.worker_max_poll_records
    async with consumer_of(
        options,
        settings.interactions_topic,
        settings.monitor_consumer_group,
        most=most,
        since_ms=lambda: max(0, now_ms() - history_ms),
    ) as consumer:
        log.info("monitor_started", group=settings.monitor_consumer_group, share=settings.monitor_share)
        works: list[Coroutine[Any, Any, object]] = [
            consume(consumer, judge),
            _follow(settings, store, topology, follower),
            _tell(judge.figures, judge.drift),
            stop.wait(),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await cancelled(tasks)
        for task in done:
            task.result()
    log.info("monitor_stopped")


async def _follow(
    settings: Settings, store: RedisStore, topology: Topology, follower: ModelFollower[MonitoredModel]
) -> None:
    """Follows the published model, and ends where the shards are others.

    Raises:
        ConfigurationError: The topology was switched.
    """
    while True:
        await asyncio.sleep(settings.model_poll_seconds)
        await quietly(follower.follow)
        now = topology

        async def look() -> None:
            nonlocal now
            now = await store.topology() or topology

        await quietly(look)
        if now != topology:
            raise ConfigurationError(f"the shards are others now ({now}): start the monitor again")


async def _tell(figures: Figures, drift: Drift) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        rates = {f"{name}_ndcg": round(figures.mean(name, "ndcg", "hour"), 4) for name in LISTS}
        trials = round(figures.trials(LISTS[-1], "hour", now_ms()))
        log.info(
            "prequential", window=next(iter(WINDOWS)), trials=trials, **rates, score_shift=round(drift.score_shift, 2)
        )
