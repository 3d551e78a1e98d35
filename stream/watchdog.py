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


Position = tuple[int | None, int]
"""A partition's fence, and how many offsets and chunks wait behind it (0: nothing to do)."""


@dataclass
class Watchdog:
    """Notices a worker that does not do what it could, whatever the reason.

    That is a partition that has records to read and a fence that does not move, a consumer that gets no answer where
    another client gets one, and a rebalance that does not end.

    Attributes:
        owned: Partitions to watch right now.
        position: A partition's `Position`.
        answers_others: Whether a client of its own gets an answer from Kafka about the partition.
        rebalancing: Whether partitions are changing hands.
        clock: Seconds, monotonic.
        stall_s: How long a fence may stand still.
        rebalance_s: How long a rebalance may last.
    """

    owned: Callable[[], Iterable[int]]
    position: Callable[[int], Awaitable[Position]]
    answers_others: Callable[[int], Awaitable[bool]]
    rebalancing: Callable[[], bool]
    clock: Callable[[], float]
    stall_s: float
    rebalance_s: float
    _rebalancing_since: float | None = None
    _standing: dict[int, tuple[int | None, float]] = field(default_factory=dict)
    _silent_since: dict[int, float] = field(default_factory=dict)

    async def look(self) -> None:
        """One look at every partition. A service that answers nobody is not a stall: its caller gives up by itself.

        Raises:
            Stalled: A partition stood still for longer than `stall_s`, this worker alone got no answer for as long, or
                a rebalance lasts longer than `rebalance_s`.
        """
        self._judge_rebalance()
        owned = set(self.owned())
        self._standing = {partition: since for partition, since in self._standing.items() if partition in owned}
        self._silent_since = {partition: since for partition, since in self._silent_since.items() if partition in owned}
        await asyncio.gather(*map(self._look_at, owned))  # one that waits for its answer delays nobody

    async def _look_at(self, partition: int) -> None:
        try:
            fence, waiting = await self.position(partition)
        except ConsumerSilent:
            self._standing.pop(partition, None)
            await self._judge_silence(partition)
        except ServiceUnavailable:
            self._standing.pop(partition, None)
        else:
            self._silent_since.pop(partition, None)
            self._judge(partition, fence, waiting)

    async def _judge_silence(self, partition: int) -> None:
        if not await self.answers_others(partition):
            self._silent_since.pop(partition, None)
            return
        silent_s = self.clock() - self._silent_since.setdefault(partition, self.clock())
        if silent_s > self.stall_s:
            raise Stalled(
                f"expected an answer from Kafka on partition {partition}, as other clients get, "
                f"received none for {silent_s:.0f} s"
            )

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

    def _judge(self, partition: int, fence: int | None, waiting: int) -> None:
        now = self.clock()
        stood, since = self._standing.get(partition, (fence, now))
        if waiting == 0:
            self._standing.pop(partition, None)
        elif partition not in self._standing or stood != fence:
            self._standing[partition] = (fence, now)
        elif now - since > self.stall_s:
            raise Stalled(
                f"expected progress on partition {partition}, received none for {now - since:.0f} s "
                f"at offset {fence} with {waiting} waiting"
            )
