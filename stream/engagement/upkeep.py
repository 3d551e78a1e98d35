"""What a worker does beside applying chunks: follows the topology, heals idle partitions, merges trending, watches.

Each task runs for ever. A service that does not answer postpones a turn; a partition that stands still ends the worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from faust.types.tuples import TP

from recsys.errors import ServiceUnavailable
from recsys.kafka.clients import aiokafka_options
from recsys.keys import Partition, Topology
from recsys.online_store import Control, Lists
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.commit import ShardWriter
from stream.engagement.trending import merge_trending
from stream.transport import broker_probe as second_opinion
from stream.transport.app import ConsumerLog
from stream.transport.watchdog import ConsumerSilent, Position, Watchdog

log = structlog.get_logger(__name__)

TOPOLOGY_EVERY_S = 1.0
HEAL_EVERY_S = 1.0
TRENDING_EVERY_S = 2.0
REBALANCE_S = 180.0
"""More than join, request and session time-outs together: Faust gave up on a rebalance without saying so."""

TRENDING_OWNER = 0


async def quietly(work: Callable[[], Awaitable[object]]) -> None:
    """Work that may be missed once: logged, tried again at the next turn."""
    try:
        await work()
    except ServiceUnavailable as error:
        log.warning("postponed", error=str(error))


class UpkeepStore(Control, Lists, Protocol):
    """What these tasks use of the online store."""


@dataclass(frozen=True)
class Upkeep:
    """The tasks beside the agent.

    Attributes:
        settings: All settings.
        store: The online store.
        topology: The shards this worker writes.
        owned: The partitions this worker owns right now.
        rebalancing: Whether partitions are changing hands; `owned` still names those that were taken away then.
        writer: A partition's writer.
        log_of: A partition's log.
        waiting: Chunks of a partition that are queued or under way.
        now_ms: Wall clock, ms since 1970 UTC.
        switched: Set once the topology is another one: this worker has to end.
        _unreachable: Partitions about which Kafka or Redis did not answer, and what was applied of them then.
    """

    settings: Settings
    store: UpkeepStore
    topology: Topology
    owned: Callable[[], Iterable[Partition]]
    rebalancing: Callable[[], bool]
    writer: Callable[[Partition], ShardWriter]
    log_of: Callable[[Partition], ConsumerLog]
    waiting: Callable[[Partition], int]
    now_ms: Callable[[], int]
    switched: asyncio.Event = field(default_factory=asyncio.Event)
    _unreachable: dict[Partition, int | None] = field(default_factory=dict)

    async def follow_topology(self) -> None:
        """Notices that `recsys rebuild` switched, and writes the topology again if Redis lost it."""
        while not self.switched.is_set():
            await asyncio.sleep(TOPOLOGY_EVERY_S)
            await quietly(self._look_at_topology)

    async def _look_at_topology(self) -> None:
        if await self.store.establish_topology(self.topology) != self.topology:
            log.info("topology_switched", before=self.topology)
            self.switched.set()

    async def heal(self) -> None:
        """Looks after partitions on which nothing is under way; one whose look waits for an answer delays no other.

        A fence that went back, an operator's word, and markers at the end of the log.
        """
        looks: dict[Partition, asyncio.Task[None]] = {}
        try:
            while True:
                await asyncio.sleep(HEAL_EVERY_S)
                owned = set(self.owned())
                for gone in self._unreachable.keys() - owned:
                    del self._unreachable[gone]
                for partition in [partition for partition, look in looks.items() if look.done()]:
                    looks.pop(partition).result()
                if not self.rebalancing():
                    looks |= {each: asyncio.create_task(self._look_after(each)) for each in owned - looks.keys()}
                metrics.UNREACHABLE.set(len(self._unreachable))
        finally:
            for look in looks.values():
                look.cancel()
            await asyncio.gather(*looks.values(), return_exceptions=True)

    async def _look_after(self, partition: Partition) -> None:
        writer = self.writer(partition)
        try:
            if self.waiting(partition):
                answered = writer.applied != self._unreachable.get(partition, writer.applied)
            else:
                answered = await writer.look()
        except ServiceUnavailable as error:
            if partition not in self._unreachable:
                log.warning("partition_unreachable", partition=partition, error=str(error))
                self._unreachable[partition] = writer.applied
            return
        if answered and partition in self._unreachable:
            log.info("partition_reachable_again", partition=partition)
            del self._unreachable[partition]

    async def trend(self) -> None:
        """The owner of one partition merges trending for all."""
        while True:
            await asyncio.sleep(TRENDING_EVERY_S)
            if TRENDING_OWNER in set(self.owned()):
                await quietly(self._merge_trending)

    async def _merge_trending(self) -> None:
        decay, size = self.settings.trending_decay, self.settings.trending_size
        await merge_trending(self.store, self.topology.shards(), decay, size=size, now_ms=self.now_ms())

    async def watch(self) -> None:
        """Ends the worker when it does not get on though it could.

        Raises:
            Stalled: It does.
        """
        stall_s = self.settings.worker_stall_seconds
        watchdog = Watchdog(
            owned=self.owned,
            position=self._progress,
            answered=self._answered,
            rebalancing=self.rebalancing,
            clock=time.monotonic,
            stall_s=stall_s,
            rebalance_s=max(REBALANCE_S, stall_s),
        )
        while True:
            await asyncio.sleep(stall_s / 4)
            await watchdog.look()

    async def _progress(self, partition: Partition) -> Position:
        writer = self.writer(partition)
        if writer.stopped():
            return None, 0
        fence = await writer.fence()
        try:
            return fence, await self.log_of(partition).unread() + self.waiting(partition)
        except ConsumerSilent:
            return fence, None

    async def _answered(self, partitions: set[Partition]) -> set[Partition]:
        settings = self.settings
        tps = [TP(settings.interactions_topic, partition) for partition in partitions]
        told = await second_opinion.answered(aiokafka_options(settings), settings.consumer_group, tps)
        return {Partition(tp.partition) for tp in told}
