"""Ending the tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

CANCEL_AGAIN_S = 0.1


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks until they have ended; how they end does not matter any more.

    Once is not enough: `asyncio.wait_for` of Python 3.11, in which redis-py sends its commands, returns as if nobody
    had cancelled where what it waits for is done in the same turn of the event loop (python/cpython#86296, mended in
    3.12), and an aiokafka client that is being closed suppresses it. An endless task then goes on.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


@contextmanager
def cancellable() -> Iterator[None]:
    """Raises a cancellation that the body was sent and lost: see `cancelled`.

    Raises:
        CancelledError: The task was cancelled while in the body, which ended in another way.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    except Exception as error:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
