"""The broker probe asks another client about partitions; it reads no record and joins no group."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError, NodeNotReadyError
from faust.types.tuples import TP

from stream.transport import broker_probe
from stream.transport.broker_probe import reachable_partitions

LED, LEADERLESS, SILENT, UNCOORDINATED = (TP("t", number) for number in range(4))


class Client:
    """aiokafka's consumer without an assignment: one that had it would fetch, and cancel its caller as it stops."""

    made: Client
    starts = True

    def __init__(self, **settings: Any) -> None:
        type(self).made = self
        self.settings, self.stopped = settings, False

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


@pytest.fixture(autouse=True)
def _client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_probe, "AIOKafkaConsumer", Client)
    monkeypatch.setattr(broker_probe, "ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr(Client, "starts", True)


async def test_reachable_is_what_has_a_leader_and_a_coordinator() -> None:
    assert await reachable_partitions(
        {"bootstrap_servers": "k:9092"}, "workers", {LED, LEADERLESS, SILENT, UNCOORDINATED}
    ) == {LED}
    client = Client.made
    assert client.stopped
    assert (client.settings["group_id"], client.settings["enable_auto_commit"]) == ("workers", False)


async def test_of_a_kafka_that_is_away_no_partition_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "starts", False)
    assert await reachable_partitions({"bootstrap_servers": "k:9092"}, "workers", {LED}) == set()
    assert Client.made.stopped
