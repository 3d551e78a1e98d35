"""A watchdog on progress: "consumers slowly die" in Faust, the process up and nothing read, or for ever rebalancing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from recsys.errors import ServiceUnavailable


class Stalled(ServiceUnavailable):
    """A partition has records to read and its fence stands still, or a rebalance does not end; why, nobody knows."""


class ConsumerSilent(ServiceUnavailable):
    """The worker's consumer gets no answer from Kafka about a partition."""


Position = tuple[int | None, int | None]
"""A partition's fence, and how many offsets and chunks wait behind it: 0 for nothing to do, None if Kafka is silent."""


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

    owned: Callable[[], Iterable[int]]
    position: Callable[[int], Awaitable[Position]]
    answered: Callable[[set[int]], Awaitable[set[int]]]
    rebalancing: Callable[[], bool]
    clock: Callable[[], float]
    stall_s: float
    rebalance_s: float
    _rebalancing_since: float | None = None
    _standing: dict[int, tuple[int | None, float]] = field(default_factory=dict)

    async def look(self) -> None:
        """One look at every partition. A service that answers nobody is not a stall: its caller gives up by itself.

        Raises:
            Stalled: A partition stood still for longer than `stall_s`, or a rebalance lasts longer than `rebalance_s`.
        """
        self._judge_rebalance()
        owned = set(self.owned())
        positions = dict(zip(owned, await asyncio.gather(*map(self._ask, owned)), strict=True))
        silent = {partition for partition, position in positions.items() if position and position[1] is None}
        nobodys = silent - await self.answered(silent) if silent else silent
        standing, self._standing = self._standing, {}
        for partition, position in positions.items():
            if position is not None and position[1] != 0 and partition not in nobodys:
                self._judge(partition, *position, standing.get(partition))

    async def _ask(self, partition: int) -> Position | None:
        try:
            return await self.position(partition)
        except ServiceUnavailable:
            return None

    def _judge_rebalance(self) -> None:
        if not self.rebalancing():
            self._rebalancing_since = None
            return
        now = self.clock()
        if self._rebalancing_since is None:
            self._rebalancing_since = now
        elif now - self._rebalancing_since > self.rebalance_s:
            raise Stalled(
                f"expected the rebalance to end, received none of it for {now - self._rebalancing_since:.0f} s"
            )

    def _judge(
        self, partition: int, fence: int | None, waiting: int | None, before: tuple[int | None, float] | None
    ) -> None:
        now = self.clock()
        stood, since = before or (fence, now)
        if stood != fence:
            since = now
        if now - since > self.stall_s:
            missing = "an answer from Kafka, as other clients get," if waiting is None else "progress"
            behind = "" if waiting is None else f" with {waiting} waiting"
            raise Stalled(
                f"expected {missing} on partition {partition}, received none for {now - since:.0f} s "
                f"at offset {fence}{behind}"
            )
        self._standing[partition] = (fence, since)
