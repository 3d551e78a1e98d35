"""PartitionQueues: the chunks of one partition strictly in order, several partitions at once.

While Redis commits one partition's chunk, the process decodes and folds another's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from recsys.keys import Partition

Item = TypeVar("Item")


class PartitionQueues(Generic[Item]):
    """One queue and one task per partition.

    Args:
        work: Applies one item. Must not raise: what it cannot bear it ends the process for.
        capacity: Items waiting or under way over all partitions; `put` waits above it.
    """

    def __init__(self, work: Callable[[Item], Awaitable[None]], *, capacity: int) -> None:
        self._work = work
        self._room = asyncio.Semaphore(capacity)
        self._queues: dict[Partition, asyncio.Queue[Item]] = {}
        self._tasks: dict[Partition, asyncio.Task[None]] = {}
        self._waiting: Counter[Partition] = Counter()

    async def put(self, partition: Partition, item: Item) -> None:
        """Queues an item behind the partition's earlier ones."""
        await self._room.acquire()
        if partition not in self._queues:
            self._queues[partition] = asyncio.Queue()
            self._tasks[partition] = asyncio.create_task(self._run(partition), name=f"lane-{partition}")
        self._waiting[partition] += 1
        self._queues[partition].put_nowait(item)

    def waiting(self, partition: Partition) -> int:
        """Items of a partition that are queued or under way."""
        return self._waiting[partition]

    async def close(self) -> None:
        """Finishes what is queued, then ends the lanes."""
        await asyncio.gather(*(queue.join() for queue in self._queues.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, partition: Partition) -> None:
        queue = self._queues[partition]
        while True:
            item = await queue.get()
            try:
                await self._work(item)
            finally:
                self._waiting[partition] -= 1
                queue.task_done()
                self._room.release()
