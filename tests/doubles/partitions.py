"""The partitions of a worker without Faust and Kafka: real writers over a store, with logs that can be sought."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from recsys.kafka.records import Chunk
from recsys.keys import Partition, Topology, partition_of
from recsys.online_store import Guard
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement.commit import Applied
from stream.engagement.partition_checks import PartitionChecks
from stream.engagement.partitions import OwnedPartitions
from tests.doubles.stream import ARRIVAL, HOUR_MS, FakeDelivery, FakeLog, FakeOutputs, chunk, event, until

PARTITIONS = 3
TOPOLOGY = Topology(PARTITIONS)
LEARNER = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(50)}
GROUP = load_settings().consumer_group


async def never(_: Exception) -> NoReturn:
    raise AssertionError


@dataclass
class Scene:
    """The partitions of a worker without Faust: a log each, and what was applied in order."""

    store: Any = field(default_factory=MemoryStore)
    topology: Topology = TOPOLOGY
    log: Callable[[], FakeLog] = FakeLog
    release_s: float = 10.0
    records_a_fetch: int = 3_000
    give_up: Callable[[Exception], Awaitable[NoReturn]] = never
    applied: list[tuple[int, int]] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.logs = {Partition(number): self.log() for number in range(PARTITIONS)}
        self.partitions = OwnedPartitions(
            load_settings().model_copy(update={"worker_max_poll_records": self.records_a_fetch}),
            self.topology,
            store=self.store,
            outputs=FakeOutputs(),
            log_of=self.logs.__getitem__,
            applied=self._note,
            give_up=self.give_up,
            clock=self._clock,
            now_ms=lambda: 5,
            release_s=self.release_s,
        )
        self.checks = PartitionChecks(
            load_settings(),
            self.partitions,
            owned=lambda: set(self.logs),
            rebalancing=lambda: False,
            every_s=0.001,
        )

    def _note(self, chunk: Chunk, _: Applied) -> None:
        self.applied.append((chunk.partition, chunk.records[-1].offset))

    def _clock(self) -> float:
        self.now += 0.01
        return self.now

    def chunk(self, partition: int, offset: int) -> Chunk:
        """One event of a learner whose partition it is, on a later day for each offset: it changes record and trend."""
        at = ARRIVAL - (400 - offset % 400) * 24 * HOUR_MS
        return chunk(event(offset, LEARNER[Partition(partition)], at=at), partition=partition)

    async def put(self, partition: int, offset: int) -> FakeDelivery:
        """Delivers a chunk of one event."""
        delivery = FakeDelivery(self.chunk(partition, offset))
        await self.partitions.put(delivery)
        return delivery

    async def settle(self) -> None:
        """Returns when nothing is queued or in work."""
        await until(lambda: not any(self.partitions.of(number).waiting for number in self.logs))

    async def check_idle(self, partition: int) -> None:
        """One idle check of a partition, to its end."""
        await self.partitions.of(Partition(partition))._writer.check_idle()

    async def fence(self, partition: int) -> int | None:
        fence: int | None = await self.store.fence(self.topology.shard(Partition(partition)), GROUP)
        return fence

    async def starts(self, partition: int) -> int:
        guard: Guard = await self.store.guard(self.topology.shard(Partition(partition)), GROUP)
        return guard.starts
