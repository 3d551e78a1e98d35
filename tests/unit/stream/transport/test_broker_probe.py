"""The broker probe asks another client about partitions; it reads no record and joins no group."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError, NodeNotReadyError
from faust.types.tuples import TP

from stream.transport.broker_probe import reachable_partitions

LED, LEADERLESS, SILENT, UNCOORDINATED = (TP("t", number) for number in range(4))


class Client:
    """aiokafka's consumer without an assignment: one that had it would fetch, and cancel its caller as it stops."""

    def __init__(self, *, starts: bool = True) -> None:
        self.starts, self.stopped = starts, False
        self.settings: dict[str, Any] = {}

    def __call__(self, **settings: Any) -> Client:
        """Makes itself, as aiokafka's class does."""
        self.settings = settings
        return self

    async def start(self) -> None:
        if not self.starts:
            raise KafkaConnectionError("nobody listens")

    async def stop(self) -> None:
        self.stopped = True

    async def end_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        if LEADERLESS in partitions:
            raise LeaderNotAvailableError(LEADERLESS)
        if SILENT in partitions:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, 7)

    async def committed(self, partition: TP) -> int:
        if partition == UNCOORDINATED:
            raise NodeNotReadyError("the coordinator is away")
        return 5


async def reachable(client: Client, *partitions: TP) -> set[TP]:
    kafka, made = {"bootstrap_servers": "k:9092"}, cast("Any", client)
    return await reachable_partitions(kafka, "workers", partitions, make_client=made, answer_within_s=0.05)


async def test_reachable_is_what_has_a_leader_and_a_coordinator() -> None:
    client = Client()
    assert await reachable(client, LED, LEADERLESS, SILENT, UNCOORDINATED) == {LED}
    assert client.stopped
    assert (client.settings["group_id"], client.settings["enable_auto_commit"]) == ("workers", False)


async def test_of_a_kafka_that_is_away_no_partition_is_reachable() -> None:
    client = Client(starts=False)
    assert await reachable(client, LED) == set()
    assert client.stopped
