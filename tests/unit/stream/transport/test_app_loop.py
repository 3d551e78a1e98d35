"""A service made for a thread, in the loop of the app: what of mode-streaming is relied on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP
from mode.threads import QueueServiceThread, ServiceThread

from recsys.kafka.records import READ_COMMITTED
from recsys.settings import Settings
from stream.transport.app import create_app
from stream.transport.app_loop import ConsumerInAppLoop, LoopTask
from stream.transport.chunks import FETCH_WAIT_MS, ChunkConsumer

LONG_ENOUGH_S = 10.0


class InAppLoop(QueueServiceThread):
    """A service as the consumer is one, without a consumer."""

    def __init__(self, fails: Exception | None = None) -> None:
        super().__init__(thread_loop=asyncio.get_running_loop(), Worker=LoopTask)  # type: ignore[arg-type]
        self.fails, self.seen, self.ended = fails, list[Any](), False

    async def on_start(self) -> None:
        self.seen.append((threading.current_thread(), asyncio.get_running_loop()))
        if self.fails is not None:
            raise self.fails

    async def on_thread_stop(self) -> None:
        await super().on_thread_stop()
        self.ended = True

    async def where(self) -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        return threading.current_thread(), asyncio.get_running_loop()

    _gather_remaining_tasks = ConsumerInAppLoop._gather_remaining_tasks


async def test_it_works_in_the_loop_that_started_it_and_its_end_cancels_no_other_task() -> None:
    here, service = (threading.current_thread(), asyncio.get_running_loop()), InAppLoop()
    other = asyncio.create_task(asyncio.Event().wait())
    async with asyncio.timeout(LONG_ENOUGH_S):
        await service.start()
        assert service.seen == [here]
        assert await service.call_thread(service.where) == here
        await service.stop()
    assert service.ended
    assert not other.done()
    other.cancel()


async def test_a_service_that_cannot_start_says_so_and_can_be_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    service = InAppLoop(fails=OSError("no broker"))
    async with asyncio.timeout(LONG_ENOUGH_S):
        with pytest.raises(OSError, match="no broker"):
            await service.start()
        await service.stop()
    assert "no broker" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError("the connection is gone"), ValueError("a bug"), asyncio.CancelledError()])
async def test_a_service_whose_end_fails_does_not_keep_the_app_waiting(error: BaseException) -> None:
    """aiokafka ends as cancelled where it is stopped while a failed fetch waits for the next try: Kafka is away."""
    service = InAppLoop()

    async def fails() -> None:
        raise error

    async with asyncio.timeout(LONG_ENOUGH_S):
        await service.start()
        service.on_thread_stop = fails  # type: ignore[method-assign]
        await service.stop()
        task = cast("LoopTask", service._thread)._task
        assert task is not None
        await asyncio.wait({task})
    assert task.cancelled() or task.exception() is None  # else asyncio says that nobody asked for it


async def ignore(_: Any) -> None:
    """Nothing is delivered here."""


async def test_the_consumer_of_an_app_is_in_its_loop_and_fetches_beside_faust_s_queue_of_calls() -> None:
    """Nothing takes calls from that queue here: a fetch that went through it would wait for ever."""
    app = create_app(Settings(worker_max_poll_records=77), None, ignore)
    made = cast("ChunkConsumer", app.consumer)._thread
    assert (made.thread_loop, made.parent_loop, made.Worker) == (*[asyncio.get_running_loop()] * 2, LoopTask)
    made._consumer = made._create_consumer(made.thread_loop)
    assert (made._consumer._fetch_max_wait_ms, made._consumer._isolation_level) == (FETCH_WAIT_MS, READ_COMMITTED)
    asked: list[Any] = []

    async def fetched_records(partitions: set[TP], **limits: Any) -> dict[TP, Any]:
        asked.append((partitions, limits))
        return {}

    made._consumer._fetcher = SimpleNamespace(
        _closed=False, _subscriptions=made._consumer._subscription, fetched_records=fetched_records
    )
    async with asyncio.timeout(LONG_ENOUGH_S):
        assert await made.getmany({TP("t", 0)}, 1.5) == {}
    assert asked == [({TP("t", 0)}, {"timeout": 1.5, "max_records": 77})]
    made._consumer._fetcher = None
    await made._consumer.stop()


def consumer_to_stop(ended: list[str], *, cancelled: str = "") -> ConsumerInAppLoop:
    """A consumer whose parts note their end; one of them ends as cancelled."""

    def part(name: str) -> Any:
        async def close() -> None:
            ended.append(name)
            if name == cancelled:
                raise asyncio.CancelledError

        return SimpleNamespace(close=close)

    made = cast("ConsumerInAppLoop", cast("ChunkConsumer", create_app(Settings(), None, ignore).consumer)._thread)
    made._consumer = consumer = made._create_consumer(made.thread_loop)
    consumer._coordinator, consumer._fetcher, consumer._client = map(part, ("coordinator", "fetcher", "client"))
    return made


async def test_a_consumer_that_gave_a_rebalance_up_is_still_stopped() -> None:
    """Else its fetcher goes on, in the loop of an app that has stopped."""
    ended = list[str]()
    made = consumer_to_stop(ended)
    made.close()
    await made.on_thread_stop()
    assert "fetcher" in ended


async def test_a_consumer_that_is_stopped_while_kafka_is_away_closes_its_connections() -> None:
    ended = list[str]()
    with pytest.raises(asyncio.CancelledError):
        await consumer_to_stop(ended, cancelled="fetcher").on_thread_stop()
    assert ended == ["coordinator", "fetcher", "client"]


def test_the_thread_is_made_from_the_class_that_is_given_and_its_loop_is_not_closed() -> None:
    source = inspect.getsource(ServiceThread)
    assert "self._thread = self.Worker(self)" in source
    assert "self._close_thread_loop_on_stop = thread_loop is None" in source
    assert "await self._gather_remaining_tasks()" in source
    fetch = inspect.getsource(driver.AIOKafkaConsumerThread.getmany)
    assert "self._fetch_records,\n            _consumer,\n            active_partitions," in fetch
    assert "max_records=_consumer._max_poll_records" in fetch


def test_the_consumer_ends_its_own_tasks() -> None:
    assert "await self._consumer.stop()" in inspect.getsource(driver.AIOKafkaConsumerThread.on_thread_stop)
