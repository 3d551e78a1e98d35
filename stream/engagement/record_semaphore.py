"""A semaphore over records: backpressure on how many are queued or in work, however they are cut into chunks."""

from __future__ import annotations

import asyncio


class RecordSemaphore:
    """Lets chunks in while fewer than `most` records are in, in the order in which they came.

    Args:
        most: A chunk that finds fewer records enters whole, so there may be more by what it brings.
    """

    def __init__(self, most: int) -> None:
        self._most, self._records = most, 0
        self._entering, self._left = asyncio.Lock(), asyncio.Event()

    async def acquire(self, records: int) -> None:
        """Waits while there are `most` records; adds so many."""
        async with self._entering:
            while self._records >= self._most:
                self._left.clear()
                await self._left.wait()
            self._records += records

    def release(self, records: int) -> None:
        """So many records are no longer queued or in work, whatever became of them."""
        self._records -= records
        self._left.set()
