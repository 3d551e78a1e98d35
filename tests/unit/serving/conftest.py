"""The API on an in-memory store that can be taken down, a real bundle with drawn weights, and a clock one can set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS
from recsys.errors import ServiceUnavailable
from recsys.events import Interaction
from recsys.keys import Shard, Topology, partition_of
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.publications import read_publications, write_publications
from recsys.online_store import CachedTop, Line, ModelPointer, OnlineStore, Trending
from recsys.online_store.memory import MemoryStore
from recsys.record import FOREVER_MS
from recsys.settings import Settings, load_settings
from recsys.vocabulary import DEFAULT_WEIGHTS
from serving.events.producer import Stored
from serving.http.app import create_app
from serving.service import Service
from tests.doubles.effects import effects

NOW_MS = 1_790_000_000_000
PARTITIONS = 6
TOPOLOGY = Topology(PARTITIONS)
N_COURSES = 40
RETIRED = "c7"
CATEGORIES = ("Data", "Art", "Biology")
HYPER = HyperParameters(vector_dim=8, user_dim=4, hidden=16, text_dim=6, history_length=5)


def course(i: int) -> Course:
    return Course(
        course_id=f"c{i}",
        title=f"Course {i}",
        category=CATEGORIES[i % 3],
        level=("Beginner", "Advanced")[i % 2],
        language="de" if i % 5 == 0 else "en",
        retired=f"c{i}" == RETIRED,
    )


COURSES = {f"c{i}": course(i) for i in range(N_COURSES)}


def draw_bundle(models_dir: Path, *, seed: int, created_at_ms: int, courses: Sequence[Course]) -> Path:
    rng = np.random.default_rng(seed)
    n, width = len(courses), HYPER.user_dim + HYPER.vector_dim + STRENGTH_DIM

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    arrays = {
        "course_vectors": normal(n, HYPER.vector_dim),
        "course_bias": normal(n),
        "history_vectors": normal(n, HYPER.vector_dim),
        "user_embeddings": normal(1, HYPER.user_dim),
        "hidden_kernel": normal(width, HYPER.hidden),
        "hidden_bias": normal(HYPER.hidden),
        "output_kernel": normal(HYPER.hidden, HYPER.vector_dim),
        "output_bias": normal(HYPER.vector_dim),
        "wide_indptr": np.zeros(n + 1, dtype=np.int64),
        "wide_indices": np.zeros(0, dtype=np.int32),
        "wide_weights": normal(0),
    }
    draft = Draft(
        parent=None,
        created_at_ms=created_at_ms,
        data=DataRange(source="topic", events=9, first_ms=1, last_ms=2, offsets={}),
        settings=HYPER,
        engagement=EngagementTable(half_life_days=30.0, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS)),
        metrics={},
        users=[],
        courses=list(courses),
        arrays=arrays,
    )
    return write_bundle(models_dir, draft)


def shard_of(user_id: str) -> Shard:
    return TOPOLOGY.shard(partition_of(user_id, PARTITIONS))


class Outage:
    """A store that answers until it is `down`; counts the calls made in vain."""

    def __init__(self, store: OnlineStore) -> None:
        self.store = store
        self.down = False
        self.in_vain = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.down:
                self.in_vain += 1
                raise ServiceUnavailable("no answer from Redis: ConnectionError")
            await asyncio.sleep(0)  # other requests have their turn, as while Redis answers
            return await getattr(self.store, name)(*args, **kwargs)

        return call


class Recorder:
    """An `EventProducer` that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Interaction] = []
        self.connected = True

    async def start(self, wait_s: float) -> None:
        await asyncio.sleep(0)

    async def send(self, events: Sequence[Interaction], *, arrival_ms: int) -> list[Stored]:
        if not self.connected:
            raise ServiceUnavailable("Kafka has not acknowledged the events within 2 s")
        offsets = range(len(self.sent), len(self.sent) + len(events))
        self.sent += events
        return [
            Stored(partition_of(event.user_id, PARTITIONS), offset)
            for event, offset in zip(events, offsets, strict=True)
        ]

    async def close(self) -> None:
        self.connected = False


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class World:
    """Everything a test of the API touches."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.outage = Outage(MemoryStore())
        self.store = cast("OnlineStore", self.outage)
        self.producer = Recorder()
        self.clock = Clock()
        self.published_at_ms = NOW_MS
        self.service = self.restarted()

    def restarted(self) -> Service:
        self.service = Service.assemble(self.settings, self.store, self.producer, clock=self.clock)
        return self.service

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=create_app(self.service), raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        async with self.client() as client:
            return await client.get(path, params=params or None)

    async def recommend(self, user_id: str, **params: Any) -> dict[str, Any]:
        response = await self.get(f"/v1/users/{user_id}/recommendations", **params)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def cache(self, user_id: str, ids: Sequence[str], *, version: str | None = None) -> None:
        """Writes a list of the published model, or of another version, from all that the learner did."""
        scores = [float(len(ids) - i) for i in range(len(ids))]
        pointer = await self.outage.store.model()
        version = version or ("v-cached" if pointer is None else pointer.version)
        top = CachedTop(user_id, version, self.clock.now_ms, tuple(ids), scores)
        waiting = await self.outage.store.waiting(shard_of(user_id), newest=1000, oldest=0)
        await self.store.write_tops(shard_of(user_id), [(top, dict(waiting.users).get(user_id))])

    async def finish(self, user_id: str, *course_ids: str, until_ms: int = FOREVER_MS) -> None:
        shard = shard_of(user_id)
        fence = await self.store.fence(shard, "g")
        changes = effects(done={user_id: dict.fromkeys(course_ids, until_ms)})
        assert await self.store.commit(shard, "g", fence, (fence or 0) + 1, changes)

    async def engage(self, user_id: str, **sums: float) -> None:
        shard = shard_of(user_id)
        fence = await self.store.fence(shard, "g")
        assert await self.store.commit(shard, "g", fence, (fence or 0) + 1, effects(engagement={user_id: sums}))

    async def trend(self, *ids: str) -> None:
        scores = tuple(float(len(ids) - i) for i in range(len(ids)))
        await self.store.write_trending(Trending(self.clock.now_ms, ids, scores))

    async def publish(self, *, seed: int = 0, created_at_ms: int = NOW_MS) -> Path:
        path = self.draw(seed=seed, created_at_ms=created_at_ms)
        await self.point_at(path)
        return path

    def draw(self, *, seed: int, created_at_ms: int) -> Path:
        """Writes a bundle and publishes nothing, as `recsys retrain --no-publish` does."""
        courses = list(COURSES.values())
        return draw_bundle(self.settings.models_dir, seed=seed, created_at_ms=created_at_ms, courses=courses)

    async def point_at(self, path: Path, line: Line | None = None) -> None:
        """Publishes a bundle: the pointer in Redis and the note beside the bundles."""
        self.published_at_ms += 1
        pointer = ModelPointer(path.name, str(path), self.published_at_ms, line)
        noted = read_publications(self.settings.models_dir)
        write_publications(self.settings.models_dir, noted.after(pointer, noted.current))
        assert await self.store.publish_model(pointer, replacing=await self.outage.store.model())

    async def poll(self) -> None:
        await self.service.follower.poll()


@pytest.fixture
def world(tmp_path: Path) -> World:
    settings = load_settings(
        models_dir=tmp_path / "models",
        serving_state_dir=tmp_path / "state",
        experiments={"colour": {"a": 0.5, "b": 0.5}},
    )
    made = World(settings)
    asyncio.run(made.store.establish_topology(TOPOLOGY))
    return made


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [row["course_id"] for row in answer["recommendations"]]
