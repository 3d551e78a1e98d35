"""The API beside the workers: a small model to serve, `recsys serve`, and a client that asks all the time."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from infra.devtools.processes import Child, free_port
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from recsys.vocabulary import DEFAULT_WEIGHTS
from tests.faults.stage import Stage

ASK_EVERY_S = 0.1
ASK_TIMEOUT_S = 5.0
START_S = 60.0
KEPT = 10
HYPER = HyperParameters(vector_dim=16, user_dim=4, hidden=16, text_dim=6, history_length=5)


def draw_draft(seed: int, *, created_at_ms: int, courses: int = 400, vector_dim: int = 16) -> Draft:
    """A model with drawn weights that ranks `c0` to `c<courses-1>`."""
    rng = np.random.default_rng(seed)
    hyper = HyperParameters(vector_dim=vector_dim, user_dim=4, hidden=16, text_dim=6, history_length=5)
    width = hyper.user_dim + vector_dim + STRENGTH_DIM

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return Draft(
        parent=None,
        created_at_ms=created_at_ms,
        data=DataRange(source="topic", events=1, first_ms=1, last_ms=2),
        settings=hyper,
        engagement=EngagementTable(half_life_days=30.0, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS)),
        metrics={},
        users=[],
        courses=[Course(course_id=f"c{number}", title=f"Course {number}") for number in range(courses)],
        arrays={
            "course_vectors": normal(courses, vector_dim),
            "course_bias": normal(courses),
            "history_vectors": normal(courses, vector_dim),
            "user_embeddings": normal(1, hyper.user_dim),
            "hidden_kernel": normal(width, hyper.hidden),
            "hidden_bias": normal(hyper.hidden),
            "output_kernel": normal(hyper.hidden, vector_dim),
            "output_bias": normal(vector_dim),
            "wide_indptr": np.zeros(courses + 1, dtype=np.int64),
            "wide_indices": np.zeros(0, dtype=np.int32),
            "wide_weights": normal(0),
        },
    )


def publish_model(stage: Stage) -> str:
    """Writes a small bundle and makes it the model in use; returns its version."""
    now_ms = time.time_ns() // 1_000_000
    path = write_bundle(stage.folder / "models", draw_draft(stage.seed, created_at_ms=now_ms))
    asyncio.run(_point_at(stage.redis.url, path, now_ms))
    return path.name


async def _point_at(redis_url: str, path: Path, now_ms: int) -> None:
    store = RedisStore.for_stream(redis_url)
    try:
        await publish_bundle(store, path, replacing=await store.model(), at_ms=now_ms, keep=KEPT)
    finally:
        await store.close()


class Api:
    """`recsys serve` on a stage, asked ten times a second for the recommendations of some learners.

    Attributes:
        statuses: HTTP status (0: no answer) → how often.
        sources: The ladder's rungs that answered → how often.
        versions: Model version in an answer → how often.
        slowest_s: The longest answer.
    """

    def __init__(self, stage: Stage) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "recsys.cli", "serve", "--port", str(self._port)]
        self._child = Child("api", command, log=stage.folder / "api.log", environment=stage.environment())
        self.statuses: Counter[int] = Counter()
        self.sources: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)

    def __enter__(self) -> Self:
        self._child.wait_until(lambda: self.ask("u1") is not None, seconds=START_S)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self._child.stop()

    def forget(self) -> None:
        """Starts counting anew."""
        self.statuses, self.sources, self.versions, self.slowest_s = Counter(), Counter(), Counter(), 0.0

    def problems(self) -> list[str]:
        """What was not a good answer."""
        bad = {status: count for status, count in self.statuses.items() if not 200 <= status < 500}
        return [f"expected the API to answer without a 5xx, received {bad}"] if bad or not self.statuses else []

    def _ask_on(self) -> None:
        asked = 0
        while not self._end.wait(ASK_EVERY_S):
            began = time.monotonic()
            answer = self.ask(f"u{asked % 50}")
            asked += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.statuses[0 if answer is None else answer[0]] += 1
            if answer is not None and "source" in answer[1]:
                self.sources[answer[1]["source"]] += 1
                self.versions[str(answer[1]["model_version"])] += 1

    def ask(self, user: str) -> tuple[int, dict[str, Any]] | None:
        """Status and document for one learner; None where it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ASK_TIMEOUT_S)
        try:
            connection.request("GET", f"/v1/users/{user}/recommendations")
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
