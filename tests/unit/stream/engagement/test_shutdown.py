"""Ending a worker's tasks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from stream.engagement.shutdown import cancelled


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):  # as Python 3.11's `wait_for` does now and then
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(stubborn()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(cancelled(tasks), 5)
    assert all(task.cancelled() for task in tasks)


async def test_tasks_that_ended_or_failed_are_no_trouble() -> None:
    async def fails() -> None:
        raise ValueError("nobody asks for this")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await asyncio.wait_for(cancelled([task]), 5)
    await cancelled([])
