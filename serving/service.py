"""The parts of the API put together once: the HTTP application and the `recommend` command share them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import msgspec

from recsys.kafka.catalogue_topic import CatalogueTopic
from recsys.kafka.clients import aiokafka_options
from recsys.kafka.diagnosis import diagnose
from recsys.keys import KeySpace
from recsys.model.follower import ModelFollower
from recsys.model.live_catalogue import LiveCatalogue
from recsys.model.live_features import LiveFeatures
from recsys.model.scorer import Scorer
from recsys.owner import check_deployment
from recsys.process.clock import now_ms
from recsys.process.tasks import cancelled
from recsys.settings import Settings
from serving.events.producer import EventProducer, KafkaEventProducer
from serving.metrics import Metrics
from serving.recommend.circuit import Circuit
from serving.recommend.follower import Follower
from serving.recommend.ladder import ClockMs, Ladder
from serving.recommend.learner import Learners, ServingStore
from serving.recommend.loaded import LoadBundle, LoadedModel, Ranker
from serving.recommend.offset_wait import OffsetWait
from serving.recommend.ranking_times import RankingTimes
from serving.recommend.recent import RecentLists
from serving.recommend.trending import LatestTrending

FIRST_POLL_S = 10.0
FIRST_CONNECTION_S = 1.0
POINTER_FILE = "model.json"
"""In the state folder: the pointer this process read last, for a start without Redis."""


def kafka_producer(settings: Settings) -> KafkaEventProducer:
    """The producer the settings name; connects to nothing yet. Needs a running event loop."""
    return KafkaEventProducer(
        aiokafka_options(settings),
        settings.interactions_topic,
        timeout_s=settings.serving_produce_timeout_ms / 1000,
        reasons=lambda: "; ".join(finding.message for finding in diagnose(settings)),
    )


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests should be sent here; degraded still is ready.

    Attributes:
        ready: False only before start-up is complete.
        degraded: Parts that are missing now: redis, kafka, model, trending.
        model_version: The bundle in use.
    """

    ready: bool
    degraded: list[str]
    model_version: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """Everything one API process consists of, besides HTTP.

    Attributes:
        settings: As read at start.
        store: The online store.
        producer: Where events go.
        metrics: What Prometheus scrapes.
        models: The model in use.
        trending: The latest trending.
        follower: Keeps the two above current.
        ladder: Answers queries.
        clock: ms since 1970 UTC.
        catalogue: Follows the catalogue's topic; None follows none.
    """

    settings: Settings
    store: ServingStore
    producer: EventProducer
    metrics: Metrics
    models: ModelFollower[LoadedModel]
    trending: LatestTrending
    follower: Follower
    ladder: Ladder
    clock: ClockMs
    catalogue: CatalogueTopic | None

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        store: ServingStore,
        producer: EventProducer,
        *,
        clock: ClockMs = now_ms,
        load: LoadBundle = Scorer.load,
        kafka: dict[str, Any] | None = None,
    ) -> Self:
        """Puts the parts together; does no I/O. As long as there are parts: each needs some of those above it.

        Args:
            settings: Of the whole system.
            store: The online store, with serving's short time-outs.
            producer: Where events go.
            clock: ms since 1970 UTC.
            load: Verifies and loads a bundle.
            kafka: How aiokafka connects, to follow the catalogue's topic; None follows none.
        """
        metrics = Metrics()
        circuit = Circuit(on_failure=metrics.store_failures.inc)
        recent = RecentLists(
            ttl_ms=int(settings.serving_cache_seconds * 1000), done_ms=int(settings.serving_done_seconds * 1000)
        )
        learners = Learners(store, circuit, recent, group=settings.consumer_group)
        features = LiveFeatures[Ranker](lambda: circuit.call(store.all_activity), clock=time.monotonic, now_ms=clock)
        catalogue = LiveCatalogue()
        models = ModelFollower(
            lambda: circuit.call(store.model),
            lambda folder: LoadedModel(load(folder), features.of),
            settings.models_dir,
            count=lambda outcome: metrics.model_loads.labels(outcome).inc(),
            remember_in=settings.serving_state_dir / POINTER_FILE,
            listed=catalogue.of,
            prepare=LoadedModel.read_texts,
        )
        topic = None
        if kafka is not None:
            topic = CatalogueTopic(kafka, settings.courses_topic, take=catalogue.add, tell=models.list_anew)
        trending = LatestTrending(settings.serving_state_dir)
        key = KeySpace(settings.redis_key_prefix).topology
        follower = Follower(
            store,
            circuit,
            learners,
            models,
            trending,
            clock,
            features.follow,
            partial(check_deployment, key, deployment=settings.deployment),
        )
        ladder = Ladder(
            learners,
            models,
            trending,
            settings.experiments,
            metrics,
            clock,
            settings.exclusion,
            offset_wait=OffsetWait(settings.serving_fresh_wait_ms / 1000),
            ranking_times=RankingTimes(),
        )
        return cls(settings, store, producer, metrics, models, trending, follower, ladder, clock, topic)

    async def start(self) -> Sequence[asyncio.Task[None]]:
        """Starts to follow store and catalogue and to connect to Kafka; waits a bounded time, and needs none of them.

        Returns:
            What `close` ends.
        """
        tasks = [asyncio.create_task(self.follower.run(self.settings.model_poll_seconds), name="follower")]
        if self.catalogue is not None:
            tasks.append(asyncio.create_task(self.catalogue.run(), name="catalogue"))
        await self.producer.start(FIRST_CONNECTION_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_POLL_S):
                await self.follower.polled.wait()
        return tasks

    async def close(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Ends what `start` began, keeps the latest trending on disk, and releases the connections."""
        await cancelled(tasks)
        await asyncio.to_thread(self.trending.save, self.clock(), interval_ms=0)
        await self.producer.close()
        await self.store.close()

    def readiness(self) -> Readiness:
        """What is known now, without asking anybody."""
        model = self.models.current
        parts = {
            "redis": self.follower.store_answers,
            "kafka": self.producer.connected,
            "model": self.models.up_to_date,
            "trending": self.trending.snapshot is not None,
        }
        return Readiness(
            ready=self.follower.polled.is_set(),
            degraded=[part for part, there in parts.items() if not there],
            model_version=None if model is None else model.version,
        )
