"""The background task that keeps this process current: topology, model pointer, trending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from recsys.errors import ServiceUnavailable
from recsys.online_store import ModelPointer, Trending
from serving.recommend.circuit import Circuit
from serving.recommend.learner import Learners, ServingStore
from serving.recommend.models import Models
from serving.recommend.trending import LatestTrending

_log = structlog.get_logger(__name__)


class Follower:
    """Polls the online store; without it, finds what it can on disk.

    Args:
        store: The online store.
        circuit: In front of it.
        learners: Told the topology.
        models: Told the model pointer.
        trending: Told the merged list.
        clock: ms since 1970 UTC.

    Attributes:
        polled: Whether the first poll is over, well or badly: then start-up is complete.
        store_answers: Whether the last poll reached the online store.
    """

    def __init__(
        self,
        store: ServingStore,
        circuit: Circuit,
        learners: Learners,
        models: Models,
        trending: LatestTrending,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._circuit = circuit
        self._learners = learners
        self._models = models
        self._trending = trending
        self._clock = clock
        self.polled = asyncio.Event()
        self.store_answers = False

    async def run(self, interval_s: float) -> None:
        """Polls for ever; an unexpected failure is logged and the next poll tried."""
        await asyncio.to_thread(self._trending.load)
        while True:
            try:
                await self.poll()
            except Exception:  # noqa: BLE001 (logged; see below)
                # A task that died would freeze model and trending for good, unseen.
                _log.exception("poll_failed")
                self.polled.set()
            await asyncio.sleep(interval_s)

    async def poll(self) -> None:
        """One look at everything."""
        try:
            pointer, trending = await self._read()
        except ServiceUnavailable as error:
            if self.store_answers or not self.polled.is_set():
                _log.warning("online_store_unreachable", error=str(error))
            self.store_answers, pointer, trending = False, None, None
        else:
            self.store_answers = True
        if pointer is not None:
            await self._models.follow(pointer)
        await self._models.load_newest()
        model = self._models.current
        if trending is not None:
            self._trending.update(trending, {} if model is None else model.courses)
            await asyncio.to_thread(self._trending.save, self._clock())
        self.polled.set()

    async def _read(self) -> tuple[ModelPointer | None, Trending | None]:
        self._learners.topology = await self._circuit.call(self._store.topology)
        try:
            return await self._circuit.call(self._store.model), await self._circuit.call(self._store.trending)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable(f"expected a model pointer and trending in Redis, received {error}") from None
