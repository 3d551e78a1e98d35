"""Faust's aiokafka consumer in the app's event loop, where Faust runs it in a thread with a loop of its own.

A fetch takes that loop about five turns. Each turn gives the interpreter's lock away and waits for it, beside an app
that folds all the time: records that had arrived were picked up 7 ms later (docs/decisions/0032). mode takes both that
are needed as arguments: the loop of a service's thread, and the class of the thread.

`tests/unit/stream/transport/test_app_loop.py` pins what is relied on of mode-streaming 0.7.1.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread

log = structlog.get_logger(__name__)


class LoopTask:
    """Stands for the thread of a service, and runs the service as a task of the loop that starts it.

    Args:
        service: Its `thread_loop` is that loop.
    """

    def __init__(self, service: ServiceThread) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the task; `ServiceThread.start` waits until the service runs."""
        self._task = asyncio.create_task(self._run(), name=f"faust-{type(self._service).__name__}")

    def stop(self) -> None:
        """Does nothing: `ServiceThread.stop` waited for the end of the service, and there is no thread to join."""

    async def _run(self) -> None:
        try:
            await self._service._serve()  # noqa: SLF001 - what the thread would run
        except Exception as error:  # noqa: BLE001 - the service told the app of a crash; it has to end in any case
            log.warning("consumer_failed", error=repr(error))
        finally:
            # Also where it ends as cancelled though nobody cancelled it: aiokafka raises so when it is stopped while
            # a fetch that failed waits for the next try. `ServiceThread.stop` would wait for a minute.
            self._service.set_shutdown()


class ConsumerInAppLoop(driver.AIOKafkaConsumerThread):
    """The service that holds aiokafka's consumer, in the loop in which it is made.

    Args:
        *args: As Faust's.
        **kwargs: As Faust's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, thread_loop=asyncio.get_running_loop(), Worker=LoopTask, **kwargs)

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Fetches without Faust's queue of calls, which takes two at a time and is there to change threads."""
        consumer = self._ensure_consumer()
        return await self._fetch_records(
            consumer,
            active_partitions,
            timeout=timeout,
            max_records=consumer._max_poll_records,  # noqa: SLF001 - as Faust's own
        )

    def close(self) -> None:
        """Gives up a rebalance that begins while the app stops. The consumer is still to be stopped.

        Faust marks it as closed, and aiokafka stops nothing that is marked so: its fetcher would go on.
        """
        super().close()
        if self._consumer is not None:
            self._consumer._closed = False  # noqa: SLF001 - what Faust set

    async def on_thread_stop(self) -> None:
        """Stops the consumer, and closes its connections also where that ends as cancelled (see `LoopTask`)."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._consumer is not None and (caller is None or not caller.cancelling()):
                await self._consumer._client.close()  # noqa: SLF001 - `AIOKafkaConsumer.stop` did not come to it
            raise

    async def _gather_remaining_tasks(self) -> None:
        """Does nothing. Faust cancels every task of the loop here, and this loop is not the consumer's alone.

        aiokafka's consumer has ended its own when it was stopped, before this.
        """
