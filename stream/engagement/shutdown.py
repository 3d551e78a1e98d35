"""How a worker's process ends: in order within seconds of being told, or at once."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable
from typing import NoReturn

from recsys.errors import RecsysError

UNEXPECTED_EXIT_STATUS = 70
RESTART_EXIT_STATUS = 75
"""EX_TEMPFAIL: the supervisor starts a worker of the new topology."""

STOP_S = 6.0
RELEASE_S = 1.0
LAST_RESORT_S = 13.0
"""The process ends within 15 s of SIGTERM whatever hangs."""


def end_process(error: BaseException) -> NoReturn:
    """Ends the process at once: nothing acknowledged, nothing flushed to Kafka or Redis.

    One line on stderr; before it, where nobody expected the error, its traceback.
    """
    if not isinstance(error, RecsysError):
        traceback.print_exception(error)
    sys.stderr.write(f"recsys: {' '.join(str(error).split()) or repr(error)}\n")
    sys.stderr.flush()
    os._exit(error.exit_status if isinstance(error, RecsysError) else UNEXPECTED_EXIT_STATUS)


async def within(seconds: float, work: Awaitable[object]) -> bool:
    """Whether the work ended in time; work that loses the cancellation at the end of its time did not."""
    scope = asyncio.timeout(seconds)  # `wait_for` may lose a cancellation: see `recsys.process.tasks`
    try:
        async with scope:
            await work
    except TimeoutError:  # also one of the work's own
        return False
    return not scope.expired()
