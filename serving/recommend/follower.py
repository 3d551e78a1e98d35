"""A background task polls the online store and keeps topology, published model and trending current."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from recsys.errors import ForeignState, ServiceUnavailable, UnreadableState
from recsys.model.follower import ModelFollower
from recsys.online_store import Trending
from recsys.owner import StateOwner
from serving.recommend.circuit import Circuit
from serving.recommend.learner import Learners, ServingStore
from serving.recommend.loaded import LoadedModel
from serving.recommend.trending import LatestTrending

_log = structlog.get_logger(__name__)


class Follower:
    """Polls the online store; without it, finds what it can on disk.

    Args:
        store: The online store.
        circuit: In front of it.
        learners: Told the topology.
        models: Follows the published model.
        trending: Told the merged list.
        clock: ms since 1970 UTC.
        follow_features: Brings the course features that models rank with up to date.
        check_owner: Raises `ForeignState` where the state is another deployment's.

    Attributes:
        polled: Whether the first poll is over, well or badly: then start-up is complete.
        store_answers: Whether the last poll reached the online store.
    """

    def __init__(
        self,
        store: ServingStore,
        circuit: Circuit,
        learners: Learners,
        models: ModelFollower[LoadedModel],
        trending: LatestTrending,
        clock: Callable[[], int],
        follow_features: Callable[[], Awaitable[None]],
        check_owner: Callable[[StateOwner | None], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._circuit = circuit
        self._learners = learners
        self._models = models
        self._trending = trending
        self._clock = clock
        self._follow_features = follow_features
        self._check_owner = check_owner
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
        """Asks once for everything: topology, trending and the published model."""
        trending = await self._read()
        await self._models.follow()
        model = self._models.current
        if self.store_answers:
            with contextlib.suppress(ServiceUnavailable, UnreadableState):  # those of before stay
                await self._follow_features()
        if trending is not None:
            self._trending.update(trending, {} if model is None else model.courses)
            await asyncio.to_thread(self._trending.save, self._clock())
        self.polled.set()

    async def _read(self) -> Trending | None:
        """The topology, which learners are looked up by, and the merged list; None while they cannot be read."""
        try:
            await self._refuse_foreign_state()
            self._learners.topology = await self._circuit.call(self._store.topology)
            trending = await self._circuit.call(self._store.trending)
        except (ServiceUnavailable, UnreadableState, msgspec.DecodeError) as error:
            if self.store_answers or not self.polled.is_set():
                _log.warning("online_store_unreachable", error=str(error))
            self.store_answers = False
            return None
        self.store_answers = True
        return trending

    async def _refuse_foreign_state(self) -> None:
        """Has nothing read or written of a state that is another deployment's: it is served as if Redis were away."""
        owner = await self._circuit.probe(self._store.owner)
        try:
            self._check_owner(owner)
        except ForeignState as error:
            if self._circuit.refused is None:
                _log.error("foreign_state", error=str(error))
            self._circuit.refused = str(error)
        else:
            self._circuit.refused = None
