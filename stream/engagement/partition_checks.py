"""Looking after the partitions that a worker owns: idle checks, and the watchdog that ends a worker which hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from faust.types.tuples import TP

from recsys.kafka.clients import aiokafka_options
from recsys.keys import Partition
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.partitions import OwnedPartitions
from stream.transport.broker_probe import reachable_partitions
from stream.transport.watchdog import Progress, Watchdog

IDLE_CHECK_EVERY_S = 1.0
REBALANCE_S = 180.0
"""More than join, request and session time-outs together: Faust gave up on a rebalance without saying so."""


@dataclass(frozen=True)
class PartitionChecks:
    """Both tasks, for as long as a worker runs.

    Attributes:
        settings: All settings.
        partitions: What the worker holds for each partition.
        owned: The partitions this worker owns right now.
        rebalancing: Whether partitions are changing hands; `owned` still names those that were revoked then.
        every_s: Seconds between idle checks.
    """

    settings: Settings
    partitions: OwnedPartitions
    owned: Callable[[], Iterable[Partition]]
    rebalancing: Callable[[], bool]
    every_s: float = IDLE_CHECK_EVERY_S

    async def check_idle_partitions(self) -> None:
        """Checks partitions on which no chunk is in work; one that waits for its answer delays no other.

        Heals a fence that went back, passes offset gaps at the end of a log, and notices that an operator resumed a
        stopped partition.
        """
        try:
            while True:
                await asyncio.sleep(self.every_s)
                if self.rebalancing():
                    continue
                owned = [self.partitions.of(number) for number in set(self.owned())]
                for partition in owned:
                    partition.start_idle_check()
                metrics.UNREACHABLE.set(sum(partition.unreachable for partition in owned))
        finally:
            self.partitions.cancel_idle_checks()

    async def watch(self) -> None:
        """Ends the worker when it makes no progress though it could.

        Raises:
            Stalled: It makes none.
        """
        stall_s = self.settings.worker_stall_seconds
        watchdog = Watchdog(
            owned=self.owned,
            progress=self._progress,
            reachable=self._reachable,
            rebalancing=self.rebalancing,
            clock=time.monotonic,
            stall_s=stall_s,
            rebalance_s=max(REBALANCE_S, stall_s),
        )
        while True:
            await asyncio.sleep(stall_s / 4)
            await watchdog.check()

    async def _progress(self, partition: Partition) -> Progress:
        return await self.partitions.of(partition).progress()

    async def _reachable(self, partitions: set[Partition]) -> set[Partition]:
        settings = self.settings
        tps = [TP(settings.interactions_topic, partition) for partition in partitions]
        reachable = await reachable_partitions(aiokafka_options(settings), settings.consumer_group, tps)
        return {Partition(tp.partition) for tp in reachable}
