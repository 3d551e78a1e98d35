"""The training process's processor time: how it gives way to others, and what is said if they leave it too little."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

WATCHED_S = 300.0
"""How long the training process must have had too little processor time before that is said."""

AGAIN_S = 3600.0
"""Least time between two warnings."""

BUSY = 0.8
"""Share of the time watched in which a process that always had something to compute wanted a processor; the rest is
files, and waiting for the next block."""

STARVED = 0.5
"""With less than this share of the processor time that it wanted, it would learn more than twice as fast on a core of
its own."""

log = structlog.get_logger(__name__)


def give_way(idle: bool | None) -> None:
    """Has this thread, and those that it starts, run only while nobody else wants the processor (SCHED_IDLE of Linux).

    Args:
        idle: `RECSYS_FINETUNE_IDLE`; None is where the system can.

    Raises:
        OSError: It was asked for, and the system refuses it. A sandbox may; by default niceness alone has to do then.
    """
    if idle is False or not hasattr(os, "SCHED_IDLE"):
        return
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        if idle:
            raise


def gives_way(pid: int) -> bool:
    """Whether a process does so; False if it ended."""
    with suppress(OSError):
        return hasattr(os, "SCHED_IDLE") and os.sched_getscheduler(pid) == os.SCHED_IDLE
    return False


class ProcessorTime(NamedTuple):
    """Seconds of all threads of a process since its start.

    Attributes:
        ran: On a processor.
        waited: Ready to run, and not run because others were.
    """

    ran: float
    waited: float


def processor_time(pid: int) -> ProcessorTime:
    """As Linux counts it; zeros where nobody does, and of a process that ended."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, ValueError):  # a thread that ended meanwhile
            of_thread = file.read_text().split()
            ran, waited = ran + int(of_thread[0]), waited + int(of_thread[1])
    return ProcessorTime(ran / 1e9, waited / 1e9)


class Starvation:
    """Says that the training process gets too little processor time: once, then hourly, and when it has caught up.

    That blocks wait is not enough to say so: after a start, and after a time without the fine-tuner, there is a
    backlog, and blocks wait although the training process has all the processor time that it can use. What tells the
    two apart is how long the process was ready to run and had to wait for a processor, which the kernel counts. It is
    starved where it wanted a processor for at least `BUSY` of `WATCHED_S`, and others had it for over half of that.

    Args:
        began: Its processor time now.
        at_s: Now, on a clock that never goes back.
    """

    def __init__(self, began: ProcessorTime, at_s: float) -> None:
        self._before, self._before_s = began, at_s
        self._said_s: float | None = None
        self._said = False

    def look(self, now: ProcessorTime, at_s: float, *, behind: bool, idle: bool) -> None:
        """One look, `WATCHED_S` after the one before.

        Args:
            now: Its processor time.
            at_s: Now.
            behind: Whether so many blocks wait that no more are read, or it is not ready for the first one yet.
            idle: Whether it trains in idle time alone.
        """
        ran, waited = now.ran - self._before.ran, now.waited - self._before.waited
        watched_s = at_s - self._before_s
        self._before, self._before_s = now, at_s
        if not behind:
            if self._said:
                log.info("training_caught_up")
            self._said = False
        elif ran + waited >= BUSY * watched_s and ran < STARVED * (ran + waited):
            self._warn(ran / (ran + waited), at_s, idle=idle)

    def _warn(self, share: float, at_s: float, *, idle: bool) -> None:
        if self._said_s is not None and at_s - self._said_s < AGAIN_S:
            return
        self._said, self._said_s = True, at_s
        log.warning(
            "training_starved",
            why=f"other processes leave the training process {share:.1%} of the processor time that it wants, so it is "
            "behind and learns little of what comes",
            remedy="give the fine-tuner a core" + (", or set RECSYS_FINETUNE_IDLE=false" if idle else ""),
        )


async def watch_training(
    pid: int, behind: Callable[[], bool], *, every_s: float = WATCHED_S, clock: Callable[[], float] = time.monotonic
) -> None:
    """Looks for as long as it runs.

    Args:
        pid: The training process.
        behind: See `Starvation.look`.
        every_s: Seconds between looks.
        clock: One that never goes back.
    """
    starvation = Starvation(processor_time(pid), clock())
    while True:
        await asyncio.sleep(every_s)
        starvation.look(processor_time(pid), clock(), behind=behind(), idle=gives_way(pid))
