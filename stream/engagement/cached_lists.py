"""What keeps learners' cached lists current in one worker: model, catalogue, live features and refresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Container

from recsys.kafka.catalogue_topic import CatalogueTopic
from recsys.kafka.clients import aiokafka_options
from recsys.keys import Partition, Shard, Topology
from recsys.model.follower import ModelFollower
from recsys.model.live_catalogue import LiveCatalogue
from recsys.model.live_features import EVERY_S, LiveFeatures
from recsys.model.scorer import Scorer
from recsys.online_store import OnlineStore
from recsys.process.clock import now_ms
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.outdated_lists import OutdatedLists
from stream.engagement.quietly import quietly
from stream.engagement.refresh import Refresher


class CachedLists:
    """The tasks of one worker for the lists of its partitions' learners.

    Args:
        settings: All settings.
        store: The online store.
        topology: The shards this worker writes.
        owned: The partitions this worker owns right now.

    Attributes:
        refresher: Ranks learners anew; told of each commit.
        tasks: What runs for as long as the worker does.
    """

    def __init__(
        self, settings: Settings, store: OnlineStore, topology: Topology, owned: Callable[[], set[Partition]]
    ) -> None:
        def shards() -> set[Shard]:
            return {topology.shard(partition) for partition in owned()}

        self._poll_s = settings.model_poll_seconds
        catalogue = LiveCatalogue()
        self._model = ModelFollower(
            store.model,
            Scorer.load,
            settings.models_dir,
            count=lambda outcome: metrics.MODEL_LOADS.labels(outcome).inc(),
            restore=store.restore_model,
            listed=catalogue.of,
            prepare=Scorer.read_texts,
        )
        courses = CatalogueTopic(
            aiokafka_options(settings), settings.courses_topic, take=catalogue.add, tell=self._model.list_anew
        )
        self._features = LiveFeatures[Scorer](store.all_activity, clock=time.monotonic, now_ms=now_ms)
        self.refresher = Refresher(
            store,
            self._model,
            features=self._features.of,
            shards=shards,
            top_n=settings.refresh_top_n,
            backlog_s=settings.refresh_backlog_seconds,
            clock=time.monotonic,
            now_ms=now_ms,
            exclusion=settings.exclusion,
        )
        outdated = OutdatedLists(
            store,
            shards=shards,
            poll_s=settings.model_poll_seconds,
            renewals_per_s=settings.refresh_renewals_per_second,
        )
        self.tasks: tuple[Callable[[], Awaitable[None]], ...] = (
            self._follow_model,
            self._follow_features,
            courses.run,
            self.refresher.run,
            outdated.run,
        )

    async def begin(self) -> None:
        """Loads the published model, if it can be had now."""
        await quietly(self._model.follow)

    def catalogue(self) -> Container[str] | None:
        """The courses of the loaded model."""
        return None if self._model.current is None else self._model.current.catalogue

    async def _follow_model(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await quietly(self._model.follow)

    async def _follow_features(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await quietly(self._features.follow)
