"""A watchdog on progress: "consumers slowly die" in Faust, the process up and nothing read, or for ever rebalancing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from recsys.errors import ServiceUnavailable
from recsys.keys import Partition


class Stalled(ServiceUnavailable):
    """A partition has records to read and its fence stands still, or a rebalance does not end; why, nobody knows."""


class ConsumerSilent(ServiceUnavailable):
    """The worker's consumer gets no answer from Kafka about a partition."""


Position = tuple[int | None, int | None]
"""A partition's fence, and how many offsets and chunks wait behind it: 0 for nothing to do, None if Kafka is silent."""


class _Sample(NamedTuple):
    fence: int | None
    waiting: int | None
    at: float


@dataclass
class Watchdog:
    """Notices a worker that does not do what it could, whatever the reason.

    That is a partition whose fence does not move although it has records to read, or although Kafka tells another
    client of it and not this worker; and a rebalance that does not end.

    Attributes:
        owned: Partitions to watch right now.
        position: A partition's `Position`.
        answered: Those of some partitions about which a client of its own is answered.
        rebalancing: Whether partitions are changing hands.
        clock: Seconds, monotonic.
        stall_s: How long a fence may stand still.
        rebalance_s: How long a rebalance may last.
    """

    owned: Callable[[], Iterable[Partition]]
    position: Callable[[Partition], Awaitable[Position]]
    answered: Callable[[set[Partition]], Awaitable[set[Partition]]]
    rebalancing: Callable[[], bool]
    clock: Callable[[], float]
    stall_s: float
    rebalance_s: float
    _rebalancing_since: float | None = None
    _standing: dict[Partition, _Sample] = field(default_factory=dict)

    async def look(self) -> None:
        """One look at every partition. A service that answers nobody is not a stall: its caller gives up by itself.

        Raises:
            Stalled: A partition stood still for longer than `stall_s`, or a rebalance lasts longer than `rebalance_s`.
        """
        if self._rebalances():
            self._standing = {}  # what is owned is in nobody's hands
            return
        owned = set(self.owned())
        samples = dict(zip(owned, await asyncio.gather(*map(self._sample, owned)), strict=True))
        silent = {partition for partition, sample in samples.items() if sample and sample.waiting is None}
        nobodys = silent - await self.answered(silent) if silent else silent
        standing, self._standing = self._standing, {}
        for partition, sample in samples.items():
            if sample is not None and sample.waiting != 0 and partition not in nobodys:
                self._judge(partition, sample, standing.get(partition))

    async def _sample(self, partition: Partition) -> _Sample | None:
        try:
            fence, waiting = await self.position(partition)
        except ServiceUnavailable:
            return None
        return _Sample(fence, waiting, self.clock())  # what is asked after it may take its time

    def _rebalances(self) -> bool:
        if not self.rebalancing():
            self._rebalancing_since = None
            return False
        now = self.clock()
        if self._rebalancing_since is None:
            self._rebalancing_since = now
        elif now - self._rebalancing_since > self.rebalance_s:
            raise Stalled(
                f"expected the rebalance to end, received none of it for {now - self._rebalancing_since:.0f} s"
            )
        return True

    def _judge(self, partition: Partition, now: _Sample, before: _Sample | None) -> None:
        if before is None or before.fence != now.fence:
            self._standing[partition] = now
            return
        self._standing[partition] = before
        stood_s = now.at - before.at
        if stood_s > self.stall_s:
            missing = "an answer from Kafka, as other clients get," if now.waiting is None else "progress"
            behind = "" if now.waiting is None else f" with {now.waiting} waiting"
            raise Stalled(
                f"expected {missing} on partition {partition}, received none for {stood_s:.0f} s "
                f"at offset {now.fence}{behind}"
            )
