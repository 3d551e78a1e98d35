"""A click on real services: Kafka tells its offset, and the answer that asks for the offset contains the click."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.drawn import draw_bundle
from recsys.keys import partition_of
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings
from serving.http.app import create_app
from serving.service import Service, kafka_producer
from tests.doubles.commands import Recsys

pytestmark = pytest.mark.services

PARTITIONS, COURSES = 3, 30
WITHIN_S = 60


async def publish(url: str, models_dir: Path) -> None:
    store = RedisStore.for_stream(url)
    bundle = draw_bundle(models_dir, courses=COURSES)
    await publish_bundle(store, bundle, replacing=None, at_ms=now_ms(), keep=1)
    await store.close()


def service(settings: Settings) -> Service:
    store = RedisStore.for_serving(settings.redis, timeout_ms=5000)  # a busy machine is not what is tested
    return Service.assemble(settings, store, kafka_producer(settings))


def click(user: str, course: str) -> dict[str, Any]:
    return {
        "event_id": f"{user}-{course}",
        "user_id": user,
        "course_id": course,
        "type": "click",
        "timestamp": now_ms(),
    }


async def answered(client: httpx.AsyncClient, user: str, n: int, stored: dict[str, int]) -> dict[str, Any]:
    """The answer to `after_offset`, asked again while it is late: a busy machine may need more than one wait."""
    parameters = {"n": n, "after_offset": stored["offset"], "after_partition": stored["partition"]}
    deadline = time.monotonic() + WITHIN_S
    while True:
        response = await client.get(f"/v1/users/{user}/recommendations", params=parameters)
        body: dict[str, Any] = response.json()
        if body["fresh"]:
            return body
        assert time.monotonic() < deadline, body


def test_an_answer_contains_the_click_whose_offset_it_was_asked_for(recsys: Recsys, tmp_path: Path) -> None:
    recsys.extra["RECSYS_MODELS_DIR"] = str(tmp_path / "models")
    recsys.run("topics", "--partitions", str(PARTITIONS))
    asyncio.run(publish(recsys.redis_url, tmp_path / "models"))
    recsys.start_ready_worker()
    asyncio.run(click_and_ask(recsys.settings(serving_fresh_wait_ms=1000)))


async def click_and_ask(settings: Settings) -> None:
    app = create_app(service(settings))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        seen: dict[str, set[str]] = {"ada": set(), "bob": set()}
        for number in range(8):
            user, course = ("ada", "bob")[number % 2], f"c{number}"
            response = await client.post("/v1/events", json=[click(user, course)])
            (stored,) = response.json()["events"]
            assert stored["partition"] == partition_of(user, PARTITIONS)
            seen[user].add(course)
            left = COURSES - len(seen[user])
            body = await answered(client, user, left, stored)
            assert body["included_offset"] >= stored["offset"]
            # Seen courses are left out, so the courses that are not among all the others show what the list contains.
            shown = {row["course_id"] for row in body["recommendations"]}
            assert {f"c{n}" for n in range(COURSES)} - shown == seen[user]
        again = await client.post("/v1/events", json=[click("ada", "c0")])  # the same click changes nothing
        (stored,) = again.json()["events"]
        assert (await answered(client, "ada", 5, stored))["included_offset"] >= stored["offset"]
