"""One engagement worker: the Faust app, a lane per partition, and the tasks beside them.

Nothing leaves a lane as an exception, because Faust would acknowledge what it was raised on. What cannot be borne
ends the process with `os._exit`, acknowledging nothing; the fence makes the next start continue right there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn, cast

import structlog
from faust.types.tuples import TP

from recsys.errors import RecsysError
from recsys.keys import Topology
from recsys.online_store import OnlineStore
from recsys.settings import Settings
from stream import metrics
from stream.app import ConsumerLog, create_app
from stream.chunks import Chunk
from stream.commit import ShardWriter, WriterRules
from stream.dead_letters import SideOutputs
from stream.fold import FoldRules
from stream.identity import WorkerId
from stream.lanes import Lanes
from stream.refresh import CurrentModel, Refresher
from stream.upkeep import Upkeep, quietly
from stream.watchdog import Stalled

log = structlog.get_logger(__name__)

CHUNKS_UNDER_WAY = 16
UNEXPECTED_EXIT_STATUS = 70
RESTART_EXIT_STATUS = 75
"""EX_TEMPFAIL: the supervisor starts a worker of the new topology."""

STOP_S = 6.0
RELEASE_S = 1.0
LAST_RESORT_S = 13.0
"""The process ends within 15 s of SIGTERM whatever hangs."""


def now_ms() -> int:
    """The wall clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def end_process(error: BaseException) -> NoReturn:
    """Ends the process at once: nothing acknowledged, nothing flushed to Kafka or Redis.

    One line on stderr; before it, where nobody expected the error, its traceback.
    """
    if not isinstance(error, RecsysError):
        traceback.print_exception(error)
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
        topology: The shards in use as the worker starts.
        worker_id: The operator's name for this worker, unique among live ones; None for a nameless one.
        die: Ends the process on what cannot be borne.
    """

    def __init__(
        self,
        settings: Settings,
        store: OnlineStore,
        *,
        topology: Topology,
        worker_id: str | None,
        die: Callable[[BaseException], NoReturn] = end_process,
    ) -> None:
        self._settings, self._store, self._topology, self._worker_id = settings, store, topology, worker_id
        self._die = die
        self._identity = WorkerId(store, worker_id)
        self._rules = WriterRules(
            FoldRules.of(settings, topology),
            retry_s=settings.retry_seconds,
            stop_records=settings.dead_letter_stop_records,
            stop_share=settings.dead_letter_stop_share,
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
        for changing_hands in (self._app.on_partitions_revoked, self._app.on_partitions_assigned):
            cast("Any", changing_hands).connect(self._let_go)
        self._model = CurrentModel(store)
        self._refresher = Refresher(
            store,
            self._model,
            shards=lambda: {topology.shard(partition) for partition in self._owned()},
            top_n=settings.refresh_top_n,
            backlog_s=settings.refresh_backlog_seconds,
            clock=time.monotonic,
            now_ms=now_ms,
        )
        self._upkeep = Upkeep(
            settings,
            store,
            topology,
            owned=self._owned,
            rebalancing=lambda: bool(self._app.rebalancing),
            writer=self._writer,
            log_of=self._log_of,
            waiting=self._lanes.waiting,
            now_ms=now_ms,
        )

    async def run(self, stop: asyncio.Event) -> bool:
        """Works until `stop` is set or the topology was switched, then finishes what is under way.

        Returns:
            Whether the topology was switched: a worker of the new one has to take over.

        Raises:
            WorkerIdTaken: Another live worker has this worker id.
            ServiceUnavailable: Redis does not answer at the start.
        """
        if not await self._started(stop):
            os._exit(0)  # half a start is not worth an orderly end: nothing was acknowledged
        beside = [
            asyncio.create_task(self._or_die(work), name=work.__name__)
            for work in (
                self._identity.keep,
                self._follow_model,
                self._refresher.run,
                self._upkeep.follow_topology,
                self._upkeep.heal,
                self._upkeep.trend,
                self._upkeep.watch,
            )
        ]
        ends = [
            asyncio.create_task(end, name=name)
            for name, end in (
                ("stop", stop.wait()),
                ("switch", self._upkeep.switched.wait()),
                ("crash", self._app.wait_until_stopped()),
            )
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set() and not self._upkeep.switched.is_set():
            self._die(self._app.crash_reason or RuntimeError("expected Faust to run until told, received its end"))
        await self._finish([*beside, *ends])
        return not stop.is_set()

    async def _started(self, stop: asyncio.Event) -> bool:
        """Claims the id, loads the model and starts Faust; False if the worker was stopped meanwhile."""
        start, stopping = asyncio.create_task(self._start()), asyncio.create_task(stop.wait())
        await asyncio.wait({start, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if start.done():
            await start
            return True
        await _within(RELEASE_S, quietly(self._identity.release))
        log.info("worker_stopped", worker_id=self._worker_id, in_time=True)
        return False

    async def _start(self) -> None:
        await self._identity.claim()
        await quietly(self._model.follow)
        await self._app.start()
        log.info("worker_started", worker_id=self._worker_id, topic=self._settings.interactions_topic)

    async def _let_go(self, _app: object, _partitions: Iterable[TP], **_signal: object) -> None:
        """All partitions go to other workers in order, or come back: a start after this is no sign of a crash.

        At the assignment too: Faust may still end an older rebalance in between and say that there is none.
        """
        writers, self._writers = self._writers, {}
        await self._end(writers.values())

    async def _end(self, writers: Iterable[ShardWriter]) -> None:
        await _within(RELEASE_S, asyncio.gather(*(quietly(writer.end) for writer in writers)))

    async def _finish(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Applies what is queued, leaves the group, gives the worker id back; all within `STOP_S` a step.

        What does not get done in time is not lost: nothing of it was acknowledged, and the fence stands where it stood.
        """
        log.info("worker_stopping", worker_id=self._worker_id)
        last_resort = threading.Timer(LAST_RESORT_S, self._exit)  # Faust joins its thread with the event loop standing
        last_resort.daemon = True
        last_resort.start()
        self._stopping = True
        self._app.consumer.stop_flow()
        finished = await _within(STOP_S, self._lanes.close())
        finished &= await _within(STOP_S, self._app.stop())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        finished &= await _within(RELEASE_S, self._outputs.close())
        await self._end(self._writers.values())
        await _within(RELEASE_S, quietly(self._identity.release))
        log.info("worker_stopped", worker_id=self._worker_id, in_time=finished)
        if not finished:  # a thread of Faust's hangs; what matters is in Redis
            self._exit()
        # The last resort stays: that thread may still wait for a silent Kafka when the interpreter wants to end.

    def _exit(self) -> None:
        os._exit(RESTART_EXIT_STATUS if self._upkeep.switched.is_set() else 0)

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
            await self._give_up(error)
        if applied.left_alone:
            return
        event.ack()
        for outcome, records in applied.counts.items():
            metrics.RECORDS.labels(outcome).inc(records)
        if applied.users:
            self._refresher.notify(self._topology.shard(chunk.partition), backlog=chunk.backlog > 0)

    def _writer(self, partition: int) -> ShardWriter:
        if partition not in self._writers:
            self._writers[partition] = ShardWriter(
                partition,
                self._settings.consumer_group,
                store=self._store,
                outputs=self._outputs,
                rules=self._rules,
                kafka=self._log_of(partition),
                clock=time.monotonic,
                now_ms=now_ms,
            )
        return self._writers[partition]

    def _log_of(self, partition: int) -> ConsumerLog:
        servers = self._settings.kafka_bootstrap_servers
        return ConsumerLog(self._app, TP(self._settings.interactions_topic, partition), servers)

    def _owned(self) -> set[int]:
        return {tp.partition for tp in self._app.consumer.assignment()}

    async def _follow_model(self) -> None:
        while True:
            await asyncio.sleep(self._settings.model_poll_seconds)
            await quietly(self._model.follow)

    async def _or_die(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a task beside the agent that ends is a worker half dead
            await self._give_up(error)

    async def _give_up(self, error: Exception) -> NoReturn:
        """Ends the process; orderly where it gives up on a service and not on a record, whose try has to count."""
        try:
            if isinstance(error, RecsysError) and not isinstance(error, Stalled):
                await self._end(self._writers.values())
        finally:
            self._die(error)
