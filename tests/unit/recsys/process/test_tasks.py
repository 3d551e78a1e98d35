"""Ending tasks, and cancellations that a library loses."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from recsys.process.tasks import cancellable, cancelled


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


async def lose(ready: asyncio.Event, *, how: str) -> None:
    """Is cancelled while in the body, which ends in another way."""
    with cancellable():
        try:
            ready.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if how == "fails":
                raise OSError("reset") from None
            if how == "is cancelled":
                raise


@pytest.mark.parametrize("how", ["returns", "fails", "is cancelled"])
async def test_a_lost_cancellation_is_raised(how: str) -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(lose(ready, how=how))
    await ready.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_error_without_a_cancellation_stays_what_it_is() -> None:
    with pytest.raises(OSError, match="reset"), cancellable():
        raise OSError("reset")


async def test_a_task_that_was_cancelled_before_may_still_clean_up() -> None:
    cleaned = []

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with cancellable():
                await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert cleaned == [True]


async def test_a_lost_cancellation_of_a_time_limit_is_the_time_out() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lose(asyncio.Event(), how="fails")
