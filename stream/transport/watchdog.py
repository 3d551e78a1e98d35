"""A watchdog on progress: in Faust "consumers slowly die" with the process up and nothing read, or rebalance for ever.

Upstream: faust-streaming/faust#175, #523, #640.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from recsys.errors import ServiceUnavailable
from recsys.keys import Partition


class Stalled(ServiceUnavailable):
    """A fence does not move though its partition has records to read, or a rebalance does not end; nobody knows why."""


class ConsumerSilent(ServiceUnavailable):
    """The worker's consumer gets no answer from Kafka about a partition."""


Progress = tuple[int | None, int | None]
"""A partition's fence, and how many offsets and chunks wait after it: 0 for none, None if Kafka does not answer."""


class _Sample(NamedTuple):
    fence: int | None
    waiting: int | None
    at: float


@dataclass
class Watchdog:
    """Notices a worker that makes no progress though it could, whatever the cause.

    That is a partition whose fence does not move although it has records to read, or although Kafka answers another
    client about it and not this worker; and a rebalance that does not end.

    Attributes:
        owned: Partitions to watch right now.
        progress: A partition's `Progress`.
        reachable: The broker probe: those of some partitions about which Kafka answers another client.
        rebalancing: Whether partitions are changing hands.
        clock: Seconds, monotonic.
        stall_s: How long a fence may stand still.
        rebalance_s: How long a rebalance may last.
    """

    owned: Callable[[], Iterable[Partition]]
    progress: Callable[[Partition], Awaitable[Progress]]
    reachable: Callable[[set[Partition]], Awaitable[set[Partition]]]
    rebalancing: Callable[[], bool]
    clock: Callable[[], float]
    stall_s: float
    rebalance_s: float
    _rebalancing_since: float | None = None
    _standing: dict[Partition, _Sample] = field(default_factory=dict)

    async def check(self) -> None:
        """Checks every partition once. A service that answers no client is not a stall: its callers give up themselves.

        Raises:
            Stalled: A partition stood still for longer than `stall_s`, or a rebalance lasts longer than `rebalance_s`.
        """
        if self._rebalances():
            self._standing = {}  # the partitions are owned by no worker for now
            return
        owned = set(self.owned())
        samples = dict(zip(owned, await asyncio.gather(*map(self._sample, owned)), strict=True))
        silent = {partition for partition, sample in samples.items() if sample and sample.waiting is None}
        unreachable = silent - await self.reachable(silent) if silent else silent
        standing, self._standing = self._standing, {}
        for partition, sample in samples.items():
            if sample is not None and sample.waiting != 0 and partition not in unreachable:
                self._judge(partition, sample, standing.get(partition))

    async def _sample(self, partition: Partition) -> _Sample | None:
        try:
            fence, waiting = await self.progress(partition)
        except ServiceUnavailable:
            return None
        return _Sample(fence, waiting, self.clock())  # before the broker probe, which takes its time

    def _rebalances(self) -> bool:
        if not self.rebalancing():
            self._rebalancing_since = None
            return False
        now = self.clock()
        if self._rebalancing_since is None:
            self._rebalancing_since = now
        elif now - self._rebalancing_since > self.rebalance_s:
            lasted_s = now - self._rebalancing_since
            raise Stalled(f"rebalance still running after {lasted_s:.0f} s (limit {self.rebalance_s:.0f} s)")
        return True

    def _judge(self, partition: Partition, now: _Sample, before: _Sample | None) -> None:
        if before is None or before.fence != now.fence:
            self._standing[partition] = now
            return
        self._standing[partition] = before
        stood_s = now.at - before.at
        if stood_s <= self.stall_s:
            return
        at = f"for {stood_s:.0f} s at offset {now.fence} (limit {self.stall_s:.0f} s)"
        if now.waiting is None:
            raise Stalled(f"no answer from Kafka about partition {partition} {at}, though it answers other clients")
        raise Stalled(f"no progress on partition {partition} {at}, with {now.waiting} waiting")
