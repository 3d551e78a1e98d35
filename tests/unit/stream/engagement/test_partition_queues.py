"""PartitionQueues keep each partition's order and let partitions overlap."""

from __future__ import annotations

import asyncio

from stream.engagement.partition_queues import PartitionQueues


async def test_a_partition_is_in_order_and_partitions_overlap() -> None:
    finished: list[tuple[int, int]] = []
    under_way: set[int] = set()
    most_at_once = 0

    async def work(item: tuple[int, int]) -> None:
        nonlocal most_at_once
        assert item[0] not in under_way, "two items of one partition at once"
        under_way.add(item[0])
        most_at_once = max(most_at_once, len(under_way))
        await asyncio.sleep(0)
        under_way.discard(item[0])
        finished.append(item)

    lanes: PartitionQueues[tuple[int, int]] = PartitionQueues(work, capacity=6)
    for number in range(20):
        for partition in range(3):
            await lanes.put(partition, (partition, number))
    await lanes.close()
    assert [[n for p, n in finished if p == partition] for partition in range(3)] == [list(range(20))] * 3
    assert most_at_once == 3


async def test_put_waits_while_the_lanes_are_full() -> None:
    gate = asyncio.Event()

    async def work(_: int) -> None:
        await gate.wait()

    lanes: PartitionQueues[int] = PartitionQueues(work, capacity=2)
    await lanes.put(0, 1)
    await lanes.put(1, 2)
    third = asyncio.create_task(lanes.put(2, 3))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not third.done()
    gate.set()
    await third
    await lanes.close()
