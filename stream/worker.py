"""One engagement worker: the Faust app, a lane per partition, and the tasks beside them.

Nothing leaves a lane as an exception, because Faust would acknowledge what it was raised on. What cannot be borne
ends the process with `os._exit`, acknowledging nothing; the fence makes the next start continue right there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import structlog
from faust.types.tuples import TP

from recsys.errors import RecsysError, ServiceUnavailable
from recsys.online_store import OnlineStore
from recsys.settings import Settings
from stream import metrics
from stream.app import ConsumerLog, create_app
from stream.chunks import Chunk
from stream.commit import ShardWriter
from stream.dead_letters import SideOutputs
from stream.fold import FoldRules
from stream.identity import WorkerId
from stream.lanes import Lanes
from stream.refresh import CurrentModel, Refresher, merge_trending
from stream.watchdog import Watchdog

log = structlog.get_logger(__name__)

CHUNKS_UNDER_WAY = 16
TRENDING_EVERY_S = 2.0
TRENDING_OWNER = 0
UNEXPECTED_EXIT_STATUS = 70
STOP_S = 6.0
RELEASE_S = 1.0


def now_ms() -> int:
    """The wall clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def end_process(error: BaseException) -> NoReturn:
    """Ends the process at once: one line on stderr, nothing acknowledged, nothing flushed to Kafka or Redis."""
    sys.stderr.write(f"recsys: {' '.join(str(error).split()) or repr(error)}\n")
    sys.stderr.flush()
    os._exit(error.exit_status if isinstance(error, RecsysError) else UNEXPECTED_EXIT_STATUS)


async def _within(seconds: float, work: Awaitable[object]) -> bool:
    """Whether the work ended in time."""
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return False
    return True


class EngagementWorker:
    """One worker.

    Args:
        settings: All settings.
        store: The online store, under the speed layer's policy.
        partitions: Partition count of the topic.
        worker_id: The operator's name for this worker, unique among live ones; None for a nameless one.
        accept_retention_gap: The operator's word that records deleted by retention may be passed.
        die: Ends the process on what cannot be borne.
    """

    def __init__(
        self,
        settings: Settings,
        store: OnlineStore,
        *,
        partitions: int,
        worker_id: str | None,
        accept_retention_gap: bool = False,
        die: Callable[[BaseException], NoReturn] = end_process,
    ) -> None:
        self._settings, self._store, self._partitions, self._worker_id = settings, store, partitions, worker_id
        self._accept_retention_gap, self._die = accept_retention_gap, die
        self._identity = WorkerId(store, worker_id)
        self._rules = FoldRules(
            weights=settings.weights,
            decay=settings.decay,
            trending_decay=settings.trending_decay,
            partitions=partitions,
            dedupe_window_ms=int(settings.dedupe_window_hours * 3_600_000),
        )
        self._outputs = SideOutputs(
            settings.kafka_bootstrap_servers,
            dead_letter_topic=settings.dead_letter_topic,
            interactions_topic=settings.interactions_topic,
        )
        self._writers: dict[int, ShardWriter] = {}
        self._lanes: Lanes[Any] = Lanes(self._apply, capacity=CHUNKS_UNDER_WAY)
        self._stopping = False
        self._app = create_app(settings, worker_id, self._deliver)
        self._model = CurrentModel(store)
        self._refresher = Refresher(
            store,
            self._model,
            owned=self._owned,
            top_n=settings.refresh_top_n,
            backlog_s=settings.refresh_backlog_seconds,
            clock=time.monotonic,
            now_ms=now_ms,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then finishes what is under way.

        Raises:
            WorkerIdTaken: Another live worker has this worker id.
            ServiceUnavailable: Redis does not answer at the start.
        """
        await self._identity.claim()
        await self._quietly(self._model.follow)
        beside = [
            asyncio.create_task(self._or_die(work), name=work.__name__)
            for work in (self._identity.keep, self._follow_model, self._refresher.run, self._trend, self._watch)
        ]
        await self._app.start()
        log.info("worker_started", worker_id=self._worker_id, topic=self._settings.interactions_topic)
        stopping = asyncio.create_task(stop.wait(), name="stop")
        crashed = asyncio.create_task(self._app.wait_until_stopped(), name="crash")
        await asyncio.wait({stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            self._die(self._app.crash_reason or RuntimeError("expected Faust to run until told, received its end"))
        await self._finish([*beside, stopping, crashed])

    async def _finish(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Applies what is queued, leaves the group, gives the worker id back; all within `STOP_S` a step.

        What does not get done in time is not lost: nothing of it was acknowledged, and the fence stands where it stood.
        """
        log.info("worker_stopping", worker_id=self._worker_id)
        self._stopping = True
        self._app.consumer.stop_flow()
        finished = await _within(STOP_S, self._lanes.close())
        finished &= await _within(STOP_S, self._app.stop())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        finished &= await _within(RELEASE_S, self._outputs.close())
        await self._quietly(self._identity.release)
        log.info("worker_stopped", worker_id=self._worker_id, in_time=finished)
        if not finished:
            os._exit(0)  # a thread of Faust's hangs; what matters is in Redis

    async def _deliver(self, event: Any) -> None:
        if not self._stopping:
            await self._lanes.put(event.value.partition, event)

    async def _apply(self, event: Any) -> None:
        """One chunk in its lane; acknowledged only once it moved the fence or lay behind it."""
        chunk: Chunk = event.value
        try:
            with metrics.CHUNK_SECONDS.time():
                applied = await self._writer(chunk.partition).apply(chunk)
        except Exception as error:  # noqa: BLE001 - whatever it is, Faust must not see it
            self._die(error)
        if applied.left_alone:
            return
        event.ack()
        for outcome, records in applied.counts.items():
            metrics.RECORDS.labels(outcome).inc(records)
        metrics.FENCE.labels(str(chunk.partition)).set(chunk.records[-1].offset)
        if applied.users:
            self._refresher.notify(chunk.partition, backlog=chunk.backlog > 0)

    def _writer(self, partition: int) -> ShardWriter:
        if partition not in self._writers:
            self._writers[partition] = ShardWriter(
                partition,
                self._settings.consumer_group,
                store=self._store,
                outputs=self._outputs,
                rules=self._rules,
                kafka=ConsumerLog(self._app, TP(self._settings.interactions_topic, partition)),
                clock=time.monotonic,
                now_ms=now_ms,
                retry_s=self._settings.retry_seconds,
                accept_retention_gap=self._accept_retention_gap,
            )
        return self._writers[partition]

    def _owned(self) -> set[int]:
        return {tp.partition for tp in self._app.consumer.assignment()}

    async def _follow_model(self) -> None:
        while True:
            await asyncio.sleep(self._settings.model_poll_seconds)
            await self._quietly(self._model.follow)

    async def _trend(self) -> None:
        """The owner of one partition merges trending for all."""
        while True:
            await asyncio.sleep(TRENDING_EVERY_S)
            if TRENDING_OWNER in self._owned():
                await self._quietly(
                    lambda: merge_trending(
                        self._store,
                        self._partitions,
                        self._settings.trending_decay,
                        size=self._settings.trending_size,
                        now_ms=now_ms(),
                    )
                )

    async def _position(self, partition: int) -> tuple[int | None, int]:
        unread = await ConsumerLog(self._app, TP(self._settings.interactions_topic, partition)).unread()
        return await self._writer(partition).fence(), unread + self._lanes.waiting(partition)

    async def _watch(self) -> None:
        watchdog = Watchdog(
            owned=self._owned,
            position=self._position,
            clock=time.monotonic,
            stall_s=self._settings.worker_stall_seconds,
        )
        while True:
            await asyncio.sleep(self._settings.worker_stall_seconds / 4)
            await watchdog.look()

    async def _or_die(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a task beside the agent that ends is a worker half dead
            self._die(error)

    async def _quietly(self, work: Callable[[], Awaitable[object]]) -> None:
        """Work that may be missed once: logged, tried again at the next turn."""
        try:
            await work()
        except ServiceUnavailable as error:
            log.warning("postponed", error=str(error))
