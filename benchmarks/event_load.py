"""Events of many learners at a steady rate, produced to Kafka by a process of its own beside what is measured."""

from __future__ import annotations

import multiprocessing
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

import msgspec
from confluent_kafka import Producer

TICK_S = 0.002
FLUSH_S = 10.0
_spawn = multiprocessing.get_context("spawn")


class Load:
    """A running load.

    Args:
        sent: Shared counter of events that Kafka acknowledged.
    """

    def __init__(self, sent: Any) -> None:
        self._sent, self._began_with, self._began = sent, 0, time.perf_counter()

    def begin(self) -> None:
        """Counts from now on."""
        self._began_with, self._began = self._sent.value, time.perf_counter()

    @property
    def per_s(self) -> float:
        """Events acknowledged a second since `begin`."""
        return float((self._sent.value - self._began_with) / (time.perf_counter() - self._began))


@contextmanager
def event_load(
    servers: str, topic: str, rate: float, users: Sequence[str], courses: Sequence[str], *, seed: int
) -> Iterator[Load]:
    """Clicks of learners on courses, both drawn uniformly, at `rate` events a second until the block ends.

    Args:
        servers: Kafka's bootstrap servers.
        topic: Where to.
        rate: Events a second; 0 sends none.
        users: Learners.
        courses: Courses.
        seed: Of what is drawn.
    """
    stop, sent = _spawn.Event(), _spawn.Value("q", 0)
    child = _spawn.Process(target=_produce, args=(servers, topic, rate, users, courses, seed, stop, sent))
    child.start()
    try:
        yield Load(sent)
    finally:
        stop.set()
        child.join(2 * FLUSH_S)


def _produce(
    servers: str,
    topic: str,
    rate: float,
    users: Sequence[str],
    courses: Sequence[str],
    seed: int,
    stop: Event,
    sent: Any,
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "linger.ms": 1,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    rng, began, number = random.Random(seed), time.perf_counter(), 0

    def delivered(error: object, _message: object) -> None:
        if error is None:
            sent.value += 1

    while not stop.is_set():
        due = int((time.perf_counter() - began) * rate)
        for _ in range(number, due):
            user = rng.choice(users)
            event = {
                "event_id": uuid.uuid4().hex,
                "user_id": user,
                "course_id": rng.choice(courses),
                "type": "click",
                "timestamp": time.time_ns() // 1_000_000,
            }
            producer.produce(topic, msgspec.json.encode(event), user.encode(), on_delivery=delivered)
        number = due
        producer.poll(TICK_S)
        time.sleep(TICK_S)
    producer.flush(FLUSH_S)
