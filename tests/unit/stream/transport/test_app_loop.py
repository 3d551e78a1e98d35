"""A service made for a thread, in the loop of the app: what of mode-streaming is relied on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from mode.threads import QueueServiceThread, ServiceThread

from stream.transport.app_loop import ConsumerInAppLoop, LoopTask

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


async def test_a_service_whose_end_fails_does_not_keep_the_app_waiting() -> None:
    service = InAppLoop()

    async def fails() -> None:
        raise OSError("the connection is gone")

    async with asyncio.timeout(LONG_ENOUGH_S):
        await service.start()
        service.on_thread_stop = fails  # type: ignore[method-assign]
        await service.stop()


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
