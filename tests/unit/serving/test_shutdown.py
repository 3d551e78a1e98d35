"""The API ends although what it awaits loses a cancellation, as libraries do on Python 3.11: `recsys.process.tasks`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from aiokafka.errors import KafkaConnectionError

from recsys.errors import ServiceUnavailable
from serving import service as service_module
from serving.events import producer as producer_module
from serving.events.producer import KafkaEventProducer

WITHIN_S = 10.0


class Losing:
    """What waits until it is cancelled, and fails then as if nobody had cancelled it; later at once."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure
        self.waits, self.lost = asyncio.Event(), False

    async def __call__(self, *_: Any) -> NoReturn:
        self.waits.set()
        try:
            if not self.lost:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.lost = True
        raise self.failure


async def ends(closing: Coroutine[Any, Any, None]) -> bool:
    """Whether it ends by itself: what gives up on it would cancel a second time."""
    done, _ = await asyncio.wait({asyncio.create_task(closing)}, timeout=WITHIN_S)
    return bool(done)


async def test_a_poll_of_redis_that_loses_the_cancellation(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "FIRST_POLL_S", 0.01)
    losing = world.outage.topology = Losing(ServiceUnavailable("no answer from Redis"))
    tasks = await world.service.start()
    await losing.waits.wait()
    assert await ends(world.service.close(tasks))
    assert losing.lost
    assert all(task.done() for task in tasks)


async def test_a_connection_to_kafka_that_loses_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    losing = Losing(KafkaConnectionError("refused"))

    class Client:
        _message_accumulator = SimpleNamespace(_batches={}, _pending_batches=[])

        def __init__(self, **_: Any) -> None:
            self.start = losing

        async def stop(self) -> None:
            await asyncio.sleep(0)

    monkeypatch.setattr(producer_module, "AIOKafkaProducer", Client)
    producer = KafkaEventProducer({"bootstrap_servers": "127.0.0.1:1"}, "t", timeout_s=1.0)
    await producer.start(0.01)
    await losing.waits.wait()
    assert await ends(producer.close())
    assert losing.lost
