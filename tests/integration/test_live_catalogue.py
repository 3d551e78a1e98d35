"""A course that comes up or goes on the catalogue's topic, at a running worker and API: nobody starts anything anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from recsys.catalog import encode_course
from recsys.kafka.clients import aiokafka_options
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings
from serving.http.app import create_app
from serving.service import Service, kafka_producer
from tests.doubles.commands import Recsys
from tests.doubles.readable_bundle import course_of, write_readable

pytestmark = pytest.mark.services

COURSES, WITHIN_S, PAUSE_S, DAYS = 60, 60, 0.1, 5000
NEW = course_of(63, course_id="new")
"""Of the subject of c0, c3, …"""


async def publish(url: str, models_dir: Path, folder: Path) -> None:
    store = RedisStore.for_stream(url)
    bundle = write_readable(models_dir, folder, courses=COURSES)
    await publish_bundle(store, bundle, replacing=None, at_ms=now_ms(), keep=1)
    await store.close()


def test_a_course_is_on_lists_seconds_after_it_came_and_on_none_once_it_went(recsys: Recsys, tmp_path: Path) -> None:
    models = tmp_path / "models"
    recsys.extra["RECSYS_MODELS_DIR"] = str(models)
    recsys.run("topics", "--partitions", "2")
    asyncio.run(publish(recsys.redis_url, models, tmp_path / "drawn"))
    recsys.start_ready_worker()
    asyncio.run(come_and_go(recsys.settings()))


class Site:
    """Learners at the API, and whoever edits the catalogue."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient, producer: AIOKafkaProducer) -> None:
        self._settings, self._client, self._producer, self._clicks = settings, client, producer, 0

    async def click(self, user: str, course: str) -> None:
        """Each a day later than the one before: another on the same day would change nothing."""
        self._clicks += 1
        at_ms = now_ms() - (DAYS - self._clicks) * 86_400_000
        event = {"event_id": f"e{self._clicks}", "user_id": user, "course_id": course, "type": "click"}
        await self._client.post("/v1/events", json=[event | {"timestamp": at_ms}])

    async def shown(self, user: str) -> tuple[str, set[str]]:
        answer = await self._client.get(f"/v1/users/{user}/recommendations", params={"n": 20})
        body: dict[str, Any] = answer.json()
        return body.get("source", ""), {row["course_id"] for row in body.get("recommendations", [])}

    async def trending(self) -> set[str]:
        answer = await self._client.get("/v1/trending", params={"n": 50})
        return {row["course_id"] for row in answer.json().get("courses", [])}

    async def edit(self, course_id: str, value: bytes | None) -> None:
        await self._producer.send_and_wait(self._settings.courses_topic, value, course_id.encode())

    async def until(self, what: str, reached: Callable[[], Awaitable[bool]]) -> float:
        """Seconds until it was."""
        begun = time.monotonic()
        while not await reached():
            assert time.monotonic() - begun < WITHIN_S, what
            await asyncio.sleep(PAUSE_S)
        print(f"{what} after {time.monotonic() - begun:.1f} s")  # noqa: T201 - what `pytest -s` is asked for
        return time.monotonic() - begun


async def come_and_go(settings: Settings) -> None:
    store = RedisStore.for_serving(settings.redis, timeout_ms=5000)  # a busy machine is not what is tested
    kafka = aiokafka_options(settings)
    app = create_app(Service.assemble(settings, store, kafka_producer(settings), kafka=kafka))
    producer = AIOKafkaProducer(**kafka)
    await producer.start()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client,
    ):
        try:
            await play(Site(settings, client, producer))
        finally:
            await producer.stop()


async def play(site: Site) -> None:
    async def listed(user: str) -> bool:
        """Whether the list that a worker wrote after another click has the course."""
        await site.click(user, "c0")
        source, shown = await site.shown(user)
        return source == "cached" and NEW.course_id in shown

    async def cached() -> bool:
        return (await site.shown("ada"))[0] == "cached"

    await site.click("ada", "c0")
    await site.click("bob", NEW.course_id)  # before anybody knows of it
    await site.until("a cached list", cached)
    assert NEW.course_id not in (await site.shown("ada"))[1] | await site.trending()

    await site.edit(NEW.course_id, encode_course(NEW))
    await site.until("the new course is on a cached list", lambda: listed("ada"))

    async def joined() -> bool:
        return NEW.course_id in await site.trending()

    async def bob_likes_its_subject() -> bool:
        await site.click("bob", NEW.course_id)
        source, shown = await site.shown("bob")
        return source == "cached" and {int(course[1:]) % 3 for course in shown if course != NEW.course_id} == {0}

    await site.until("what was clicked before it came trends", joined)
    await site.until("and makes lists", bob_likes_its_subject)

    async def nowhere() -> bool:
        return NEW.course_id not in (await site.shown("ada"))[1] | await site.trending()

    await site.edit(NEW.course_id, None)
    await site.until("the retired course is on no list", nowhere)
