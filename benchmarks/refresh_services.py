"""The age of the oldest list while learners click, on a real Kafka, a real Redis and a real worker."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import redis
from confluent_kafka import Message, Producer

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import Child
from recsys.keys import KeySpace, Partition, Shard, partition_of
from recsys.model.scorer import Learner
from recsys.online_store import ModelPointer
from recsys.online_store.redis.store import RedisStore

KEYS = KeySpace()
PARTITIONS, TOPIC, GROUP = 6, "interactions", "bench-refresh"
RECSYS = [sys.executable, "-m", "recsys.cli"]
START_S, WARM_UP_S, LOOK_EVERY_S = 60.0, 3.0, 0.05


def waits_of_workers(
    bundle: Path, learners: Sequence[Learner], *, clicks_per_s: float, seconds: float
) -> dict[str, Any]:
    """The age of the oldest list by partition, from the click's `produce` on.

    Nothing counts until `WARM_UP_S` after the worker has applied records of every partition: it joins its group first.
    """
    with tempfile.TemporaryDirectory() as name, LocalKafka() as kafka, LocalRedis() as server:
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "REDIS_URL": server.url,
            "RECSYS_INTERACTIONS_TOPIC": TOPIC,
            "RECSYS_CONSUMER_GROUP": GROUP,
            "RECSYS_MODELS_DIR": str(bundle.parent),
        }
        subprocess.run([*RECSYS, "topics", "--partitions", str(PARTITIONS)], env=env, check=True, stdout=sys.stderr)
        asyncio.run(_publish(server.url, bundle))
        worker = Child("worker", [*RECSYS, "stream"], log=Path(name) / "worker.log", environment=env)
        try:
            worker.wait_until(lambda: "worker_started" in worker.log.read_text(), seconds=START_S)
            with redis.Redis.from_url(server.url) as client:
                return _click_and_look(kafka.bootstrap_servers, client, learners, clicks_per_s, seconds)
        finally:
            worker.stop()


async def _publish(url: str, bundle: Path) -> None:
    store = RedisStore.for_stream(url)
    try:
        await store.publish_model(ModelPointer(bundle.name, str(bundle), time.time_ns() // 1_000_000), replacing=None)
    finally:
        await store.close()


def _click_and_look(
    servers: str, client: redis.Redis, learners: Sequence[Learner], clicks_per_s: float, seconds: float
) -> dict[str, Any]:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "log_level": 0})
    clicked: dict[tuple[int, int], float] = {}
    ages = dict.fromkeys(range(PARTITIONS), 0.0)
    rng, began, looked = random.Random(0), time.perf_counter(), 0.0
    clicks, counted_from = 0, float("inf")

    def delivered(at: float, error: object, message: Message) -> None:
        if error is None:
            clicked[message.partition() or 0, message.offset() or 0] = at

    while (now := time.perf_counter()) < min(began + START_S, counted_from) + seconds:
        while clicks < (now - began) * clicks_per_s:
            clicks += 1
            _produce(producer, rng.choice(learners).user_id, f"c{rng.randrange(4000)}", clicks, delivered)
        producer.poll(0.002)
        if now - looked > LOOK_EVERY_S:
            looked = now
            if counted_from == float("inf") and _all_applied(client):
                counted_from = now + WARM_UP_S
            if now > counted_from:
                _look(client, clicked, ages)
    if counted_from == float("inf"):
        raise SystemExit(f"the worker has not applied records of every partition within {START_S:g} s")
    producer.flush(10)
    return {"clicks": clicks, "oldest_s": {str(partition): round(age, 3) for partition, age in ages.items()}}


def _all_applied(client: redis.Redis) -> bool:
    shards = [Shard(Partition(partition)) for partition in range(PARTITIONS)]
    fences: Any = client.mget([KEYS.fence(shard, GROUP) for shard in shards])
    return None not in fences


def _produce(producer: Producer, user: str, course: str, number: int, delivered: Any) -> None:
    event = {
        "event_id": f"e{number}",
        "user_id": user,
        "course_id": course,
        "type": "click",
        "timestamp": time.time_ns() // 1_000_000,
    }
    producer.produce(
        TOPIC,
        msgspec.json.encode(event),
        user.encode(),
        partition_of(user, PARTITIONS),
        on_delivery=partial(delivered, time.perf_counter()),
    )


def _look(client: redis.Redis, clicked: dict[tuple[int, int], float], ages: dict[int, float]) -> None:
    pipeline = client.pipeline(transaction=False)
    for partition in ages:
        pipeline.zrange(KEYS.dirty(Shard(Partition(partition))), 0, 0, withscores=True)
    now = time.perf_counter()
    for partition, oldest in enumerate(pipeline.execute()):
        at = clicked.get((partition, int(oldest[0][1]))) if oldest else None
        if at is not None:  # an acknowledgement that is still on its way is no age to speak of
            ages[partition] = max(ages[partition], now - at)
