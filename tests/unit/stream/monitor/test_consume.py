"""Where the monitor begins to read, and that it goes on where Redis was away."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from recsys.errors import ServiceUnavailable
from recsys.keys import Partition
from stream.monitor.consume import GoesBack, consume


class TP(NamedTuple):
    topic: str
    partition: int


class Place(NamedTuple):
    offset: int
    timestamp: int


class FakeConsumer:
    def __init__(self) -> None:
        self.sought: dict[int, int] = {}
        self.asked: list[int] = []
        self.batches = [{TP("t", 0): ["a"]}, {TP("t", 1): ["b"]}, {TP("t", 0): ["c"]}]

    async def offsets_for_times(self, times: dict[TP, int]) -> dict[TP, Place | None]:
        self.asked += times.values()
        return {tp: Place(40, 9) if tp.partition == 0 else None for tp in times}

    async def end_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 77)

    def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp.partition] = offset

    async def getmany(self, **_: Any) -> dict[TP, list[str]]:
        if not self.batches:
            await asyncio.Event().wait()
        return self.batches.pop(0)


async def test_it_goes_back_to_what_arrived_since_a_time_and_else_waits_for_the_next_record() -> None:
    consumer = FakeConsumer()
    listener = GoesBack(consumer, lambda: 12)
    await listener.on_partitions_assigned([])
    await listener.on_partitions_assigned([TP("t", 0), TP("t", 1)])
    assert consumer.sought == {0: 40, 1: 77}
    assert consumer.asked == [12, 12]


async def test_a_chunk_that_cannot_be_judged_is_missed_and_told_of_once() -> None:
    taken: list[Any] = []

    class Judge:
        async def take(self, partition: Partition, records: Any) -> None:
            taken.append((partition, records))
            if records != ["c"]:
                raise ServiceUnavailable("no answer from Redis")

    with capture_logs() as lines:
        task = asyncio.create_task(consume(FakeConsumer(), Judge(), again_s=0.0))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            while len(taken) < 3:  # noqa: ASYNC110 - what is waited for is a list
                await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken == [(0, ["a"]), (1, ["b"]), (0, ["c"])]
    assert [line["event"] for line in lines] == ["chunk_not_judged"]
