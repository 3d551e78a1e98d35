"""One engagement worker: the Faust app, the partitions it owns, and the tasks beside them.

No exception reaches Faust, because it would acknowledge what it was raised on. An unrecoverable error ends the process
with `os._exit`, acknowledging nothing; the fence makes the next start continue right there.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, cast

import structlog
from faust.types.tuples import TP

from recsys.errors import RecsysError
from recsys.kafka.clients import aiokafka_options
from recsys.kafka.records import Chunk
from recsys.keys import Partition, Topology
from recsys.online_store import OnlineStore
from recsys.owner import StateOwner
from recsys.process.clock import now_ms
from recsys.process.tasks import cancelled
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.cached_lists import CachedLists
from stream.engagement.commit import Applied
from stream.engagement.merges import Merges
from stream.engagement.partition_checks import PartitionChecks
from stream.engagement.partitions import OwnedPartitions
from stream.engagement.quietly import quietly
from stream.engagement.redis_watch import RedisWatch
from stream.engagement.shutdown import (
    LAST_RESORT_S,
    RELEASE_S,
    RESTART_EXIT_STATUS,
    STOP_S,
    end_process,
    within,
)
from stream.engagement.side_outputs import KafkaSideOutputs
from stream.engagement.topology_watch import TopologyWatch
from stream.engagement.worker_id import WorkerId
from stream.transport.app import ConsumerLog, create_app, start_app
from stream.transport.watchdog import Stalled

log = structlog.get_logger(__name__)

BEHIND_S = 2.0
"""A worker is said to catch up for so long after a chunk behind which more than a commit waited."""


class EngagementWorker:
    """One worker.

    Args:
        settings: All settings.
        store: The online store, under the speed layer's policy.
        topology: The shards in use as the worker starts.
        owner: Whose their state is.
        worker_id: The operator's name for this worker, unique among live ones; None for a nameless one.
        die: Ends the process on an unrecoverable error.
        release_s: How long giving its partitions up may take, seconds.
    """

    def __init__(
        self,
        settings: Settings,
        store: OnlineStore,
        *,
        topology: Topology,
        owner: StateOwner,
        worker_id: str | None,
        die: Callable[[BaseException], NoReturn] = end_process,
        release_s: float = RELEASE_S,
    ) -> None:
        self._settings, self._store, self._topology, self._worker_id = settings, store, topology, worker_id
        self._die = die
        self._identity = WorkerId(store, worker_id)
        self._outputs = KafkaSideOutputs(
            aiokafka_options(settings),
            dead_letter_topic=settings.dead_letter_topic,
            interactions_topic=settings.interactions_topic,
        )
        self._partitions = OwnedPartitions(
            settings,
            topology,
            store=store,
            outputs=self._outputs,
            log_of=self._log_of,
            applied=self._applied,
            give_up=self._give_up,
            clock=time.monotonic,
            now_ms=now_ms,
            release_s=release_s,
        )
        self._stopping = False
        self._behind_until = 0.0
        self._app = create_app(settings, worker_id, self._deliver)
        for changing_hands in (self._app.on_partitions_revoked, self._app.on_partitions_assigned):
            cast("Any", changing_hands).connect(self._drop_partitions)
        self._lists = CachedLists(settings, store, topology, self._owned)
        self._topology_watch = TopologyWatch(settings, store, topology, owner)
        self._redis_watch = RedisWatch(store, allow_eviction=settings.redis_allow_eviction)
        self._merges = Merges(
            settings,
            store,
            topology,
            owned=self._owned,
            now_ms=now_ms,
            catalogue=self._lists.catalogue,
            catching_up=lambda: time.monotonic() < self._behind_until,
        )
        self._checks = PartitionChecks(
            settings, self._partitions, owned=self._owned, rebalancing=lambda: bool(self._app.rebalancing)
        )

    async def run(self, stop: asyncio.Event) -> bool:
        """Works until `stop` is set or the topology was switched, then finishes what is in work.

        Returns:
            Whether the topology was switched: a worker of the new one has to take over.

        Raises:
            WorkerIdTaken: Another live worker has this worker id.
            ServiceUnavailable: Redis or Kafka does not answer at the start.
        """
        if not await self._started(stop):
            os._exit(0)  # half a start is not worth an orderly end: nothing was acknowledged
        of_the_consumer = self._beside(self._checks.check_idle_partitions, self._checks.watch)
        beside = self._beside(
            self._identity.keep,
            *self._lists.tasks,
            self._topology_watch.follow_topology,
            self._topology_watch.watch_topic,
            self._redis_watch.watch_redis,
            self._merges.merge_for_all,
        )
        ends = [
            asyncio.create_task(end, name=name)
            for name, end in (
                ("stop", stop.wait()),
                ("switch", self._topology_watch.switched.wait()),
                ("crash", self._app.wait_until_stopped()),
            )
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set() and not self._topology_watch.switched.is_set():
            self._die(self._app.crash_reason or RuntimeError("Faust stopped by itself, without an error"))
        await self._finish(of_the_consumer, [*beside, *ends])
        return not stop.is_set()

    def _beside(self, *works: Callable[[], Awaitable[None]]) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._or_die(work), name=work.__name__) for work in works]

    async def _started(self, stop: asyncio.Event) -> bool:
        """Claims the id, loads the model and starts Faust; False if the worker was stopped meanwhile."""
        start, stopping = asyncio.create_task(self._start()), asyncio.create_task(stop.wait())
        await asyncio.wait({start, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if start.done():
            await start
            return True
        await within(RELEASE_S, quietly(self._identity.release))
        log.info("worker_stopped", worker_id=self._worker_id, in_time=True)
        return False

    async def _start(self) -> None:
        await self._identity.claim()
        await self._lists.begin()
        await start_app(self._app)
        log.info("worker_started", worker_id=self._worker_id, topic=self._settings.interactions_topic)

    async def _drop_partitions(self, _app: object, _partitions: Iterable[TP], **_signal: object) -> None:
        """At the assignment too: Faust may still end an older rebalance in between and say that there is none."""
        await self._partitions.drop()

    async def _finish(self, of_the_consumer: Sequence[asyncio.Task[Any]], others: Sequence[asyncio.Task[Any]]) -> None:
        """Applies what is queued, leaves the group, gives the worker id back; all within `STOP_S` a step.

        What does not get done in time is not lost: nothing of it was acknowledged, and the fence stands where it stood.
        """
        log.info("worker_stopping", worker_id=self._worker_id)
        last_resort = threading.Timer(LAST_RESORT_S, self._exit)  # should the event loop itself stand
        last_resort.daemon = True
        last_resort.start()
        self._stopping = True
        self._app.consumer.stop_flow()
        finished = await within(STOP_S, self._partitions.drain())
        await within(RELEASE_S, cancelled(of_the_consumer))
        finished &= await within(STOP_S, self._app.stop())
        await cancelled(others)
        finished &= await within(RELEASE_S, self._outputs.close())
        await self._partitions.end()
        await within(RELEASE_S, quietly(self._identity.release))
        log.info("worker_stopped", worker_id=self._worker_id, in_time=finished)
        if not finished:  # Faust or Kafka hangs; what matters is in Redis
            self._exit()
        # The last resort stays: a thread may still ask a silent Kafka for the topic when the loop wants to end.

    def _exit(self) -> None:
        os._exit(RESTART_EXIT_STATUS if self._topology_watch.switched.is_set() else 0)

    async def _deliver(self, event: Any) -> None:
        if not self._stopping:
            await self._partitions.put(event)

    def _applied(self, chunk: Chunk, applied: Applied) -> None:
        for outcome, records in applied.counts.items():
            metrics.RECORDS.labels(outcome).inc(records)
        if chunk.backlog > self._settings.worker_max_poll_records:
            self._behind_until = time.monotonic() + BEHIND_S
        arrival_ms = chunk.records[0].timestamp
        metrics.FRESHNESS_SECONDS.labels("folded").observe((now_ms() - arrival_ms) / 1000)
        if applied.users:
            shard, fence = self._topology.shard(chunk.partition), chunk.records[-1].offset
            self._lists.refresher.notify(shard, fence=fence, backlog=chunk.backlog > 0, arrival_ms=arrival_ms)

    def _log_of(self, partition: Partition) -> ConsumerLog:
        return ConsumerLog(self._app, TP(self._settings.interactions_topic, partition))

    def _owned(self) -> set[Partition]:
        return {Partition(tp.partition) for tp in self._app.consumer.assignment()}

    async def _or_die(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            await self._give_up(RuntimeError(f"the task {work.__name__} ended because what it awaited was cancelled"))
        except Exception as error:  # noqa: BLE001 - a task beside the agent that ends is a worker half dead
            await self._give_up(error)

    async def _give_up(self, error: Exception) -> NoReturn:
        """Ends the process; orderly where it gives up on a service and not on a record, whose try has to count."""
        try:
            if isinstance(error, RecsysError) and not isinstance(error, Stalled):
                await self._partitions.end()
        finally:
            self._die(error)
