"""The API on a real Redis and on Kafka (embedded, and the real one where Java is): outages and coming back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fastapi import FastAPI

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.kafka_jars import missing_programs
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import free_port
from recsys.errors import ServiceUnavailable
from recsys.events import Interaction, decode
from recsys.keys import Topology, partition_of
from recsys.online_store import CachedTop
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings
from serving.events.producer import KafkaEventProducer
from serving.http.app import create_app
from serving.service import Service, kafka_producer

PARTITIONS = 6
TOPIC = "interactions"
USERS = ["ada", "bob", "漢", "a/b", "{s3}", "eve", "f" * 128]
DEADLINE_S = 60


def event(user_id: str, number: int = 0) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "user_id": user_id,
        "course_id": "c1",
        "type": "click",
        "timestamp": now_ms() - 1000,
    }


def settings_for(tmp_path: Path, *, redis_url: str, kafka: str) -> Settings:
    return load_settings(
        redis_url=redis_url,
        kafka_bootstrap_servers=kafka,
        models_dir=tmp_path / "models",
        serving_state_dir=tmp_path / "state",
        model_poll_seconds=0.05,
        serving_produce_timeout_ms=1000,
    )


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await check():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def read_all(servers: str, topic: str = TOPIC) -> dict[int, list[Any]]:
    """Every record of the topic, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: dict[int, list[Any]] = {partition: [] for partition in range(PARTITIONS)}
        while sum(map(len, found.values())) < sum(ends.values()):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found[place.partition] += records
        return found
    finally:
        await consumer.stop()


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({TOPIC: PARTITIONS}) as kafka:
        yield kafka


def assemble(settings: Settings) -> Service:
    store = RedisStore.for_serving(settings.redis, timeout_ms=settings.serving_redis_timeout_ms)
    return Service.assemble(settings, store, kafka_producer(settings))


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client


async def check_delivery(settings: Settings) -> None:
    """POSTs events of several learners and reads them back from the topic."""
    events = [event(user, number) for number, user in enumerate(USERS)]
    async with running(create_app(assemble(settings))) as client:
        response = await client.post("/v1/events", json=events[:-1])
        body = response.json()
        assert (response.status_code, body["accepted"]) == (202, len(events) - 1)
        body["events"] += (await client.post("/v1/events", json=events[-1])).json()["events"]
    found = await read_all(settings.kafka_bootstrap_servers, settings.interactions_topic)
    records = [(partition, record) for partition, rows in found.items() for record in rows]
    places = {(partition, record.offset): record.value for partition, record in records}
    told = [decode(places[one["partition"], one["offset"]], arrival_ms=now_ms()).event_id for one in body["events"]]
    assert told == [one["event_id"] for one in events]
    ids = []
    for partition, record in records:
        decoded = decode(record.value, arrival_ms=record.timestamp)
        assert record.key.decode() == decoded.user_id
        assert partition == partition_of(decoded.user_id, PARTITIONS)
        ids.append(decoded.event_id)
    assert sorted(ids) == sorted(str(one["event_id"]) for one in events)


async def test_events_arrive_in_the_partition_of_their_learner(embedded: EmbeddedKafka, tmp_path: Path) -> None:
    await check_delivery(settings_for(tmp_path, redis_url="redis://127.0.0.1:1", kafka=embedded.bootstrap_servers))


@pytest.mark.services
async def test_events_arrive_in_the_partition_of_their_learner_on_real_services(
    settings: Settings, make_topics: Callable[[Settings, int], None]
) -> None:
    make_topics(settings, PARTITIONS)
    await check_delivery(settings)


async def test_without_a_broker_events_are_refused_in_bounded_time_and_the_api_ends(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, redis_url="redis://127.0.0.1:1", kafka=f"127.0.0.1:{free_port()}")
    async with asyncio.timeout(DEADLINE_S):
        async with running(create_app(assemble(settings))) as client:
            response = await client.post("/v1/events", json=event("ada"))
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json()["detail"] == (
                "Kafka has not acknowledged the events within 1 s; sending the same events again is safe"
            )
            assert (await client.get("/readyz")).json()["degraded"] == ["redis", "kafka", "model", "trending"]


async def seed(url: str) -> None:
    store = RedisStore.for_stream(url)
    topology = Topology(PARTITIONS)
    await store.establish_topology(topology)
    await store.write_tops(
        topology.shard(partition_of("ada", PARTITIONS)),
        [(CachedTop("ada", "v", now_ms(), ("c1", "c2"), (2, 1)), None)],
    )
    await store.close()


async def source(client: httpx.AsyncClient) -> str:
    response = await client.get("/v1/users/ada/recommendations?n=2")
    assert response.status_code == 200
    assert [row["course_id"] for row in response.json()["recommendations"]] == ["c1", "c2"]
    answered: str = response.json()["source"]
    return answered


async def test_redis_may_die_hang_and_come_back_and_every_answer_is_a_200(
    own_redis: LocalRedis, tmp_path: Path
) -> None:
    await seed(own_redis.url)
    pid = own_redis.pid
    assert pid is not None
    settings = settings_for(tmp_path, redis_url=own_redis.url, kafka=f"127.0.0.1:{free_port()}")
    async with running(create_app(assemble(settings))) as client:

        async def has_begun() -> bool:  # on a busy machine its first question to Redis may take longer than it waits
            return (await client.get("/v1/users/ada/recommendations?n=2")).status_code == 200

        async def is_cached() -> bool:
            return await source(client) == "cached"

        await eventually(has_begun)
        await eventually(is_cached)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            assert await source(client) == "process-cache"
        os.kill(pid, signal.SIGCONT)
        await eventually(is_cached)
        own_redis.kill()
        for _ in range(20):
            assert await source(client) == "process-cache"
        own_redis.start()
        await seed(own_redis.url)
        await eventually(is_cached)


async def test_redis_may_come_after_the_api(tmp_path: Path) -> None:
    port = free_port()
    settings = settings_for(tmp_path, redis_url=f"redis://127.0.0.1:{port}/0", kafka=f"127.0.0.1:{free_port()}")
    async with running(create_app(assemble(settings))) as client:
        assert (await client.get("/v1/users/ada/recommendations")).status_code == 503
        with LocalRedis(port=port) as late:
            await seed(late.url)

            async def is_there() -> bool:
                return (await client.get("/v1/users/ada/recommendations")).status_code == 200

            await eventually(is_there)


async def create_topic(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    await admin.close()


def interactions(number: int) -> Sequence[Interaction]:
    return [decode(json.dumps(event("ada", number)).encode(), arrival_ms=now_ms())]


@pytest.mark.services
@pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed")
async def test_kafka_may_come_late_die_and_come_back() -> None:
    port = free_port()
    producer = KafkaEventProducer({"bootstrap_servers": f"127.0.0.1:{port}"}, TOPIC, timeout_s=1.0)
    await producer.start(0.1)
    with pytest.raises(ServiceUnavailable):
        await producer.send(interactions(0), arrival_ms=now_ms())
    try:
        with LocalKafka(port=port) as kafka:
            await create_topic(kafka.bootstrap_servers)

            async def is_accepted() -> bool:
                try:
                    await producer.send(interactions(1), arrival_ms=now_ms())
                except ServiceUnavailable:
                    return False
                return True

            await eventually(is_accepted)
            kafka.kill()
            with pytest.raises(ServiceUnavailable):
                await producer.send(interactions(2), arrival_ms=now_ms())
            kafka.start()
            await eventually(is_accepted)
            records = [record for rows in (await read_all(kafka.bootstrap_servers)).values() for record in rows]
            ids = [decode(record.value, arrival_ms=record.timestamp).event_id for record in records]
            assert ids.count("e1") >= 2
            assert "e0" not in ids
            kafka.kill()
            with pytest.raises(ServiceUnavailable):
                await producer.send(interactions(3), arrival_ms=now_ms())
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await producer.close()
