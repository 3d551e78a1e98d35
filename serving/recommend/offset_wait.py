"""Waiting for an event: a request may name one by its offset, and is answered once the list contains it, or in time.

A list that contains the event is taken as it is. Where the event is applied and the list still is out of date, the
answer is ranked here, from the state at the fence. So only an event that is not applied in time is missed. The worker's
list is waited for before that only where a ranking takes longer than a pause, and for as long as a ranking takes, so
that waiting in vain at most doubles what a ranking costs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from serving.recommend.answers import Source
from serving.recommend.learner import Learner
from serving.recommend.query import After

PAUSE_S, EARLY_S = 0.001, 0.01
"""Pause between two readings; after `EARLY_S` twice as long, because what is late then stays so for a while."""

MOST_WAITING = 64
"""Requests that wait at once. Each asks Redis up to some thirty times; more than these are answered as things stand."""


def contains(included_offset: int | None, partition: int | None, after: After) -> bool:
    """Whether what contains every event of a partition up to an offset contains the event."""
    if included_offset is None or partition is None:
        return False
    return after.partition in (None, partition) and included_offset >= after.offset


def is_applied(learner: Learner, after: After) -> bool:
    """Whether the event is in the learner's state, so that a ranking made from it now contains it."""
    return contains(learner.fence, learner.partition, after)


class OffsetWait:
    """Waits for events.

    Args:
        wait_s: Longest wait, seconds; 0 never waits.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
        most: Requests that wait at once.
    """

    def __init__(
        self,
        wait_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        most: int = MOST_WAITING,
    ) -> None:
        self._wait_s, self._clock, self._sleep, self._most = wait_s, clock, sleep, most
        self._waiting = 0

    async def until_contained(
        self, after: After, find: Callable[[], Awaitable[Learner]], *, ranking_s: float
    ) -> Learner:
        """The learner as last read: with a list that contains the event, or once waiting is over.

        Args:
            after: The event.
            find: Reads the learner.
            ranking_s: How long a ranking takes in this process, seconds.
        """
        began = self._clock()
        learner = await find()
        if self._waiting >= self._most:
            return learner
        self._waiting += 1
        try:
            applied_at: float | None = None
            while _may_come(learner, after):
                now = self._clock()
                if applied_at is None and is_applied(learner, after):
                    applied_at = now
                ends = began + self._wait_s
                if applied_at is not None:
                    # Nobody ranks a list for a learner who has none and no mark: it is ranked here.
                    worth_waiting = learner.top is not None and ranking_s > PAUSE_S
                    ends = min(ends, applied_at + (ranking_s if worth_waiting else 0))
                if now >= ends:
                    break
                pause = PAUSE_S if now - began < EARLY_S else 2 * PAUSE_S
                await self._sleep(min(pause, ends - now))
                learner = await find()
            return learner
        finally:
            self._waiting -= 1


def _may_come(learner: Learner, after: After) -> bool:
    """Whether the event is not on the list and may still come there: not of another partition, not without Redis."""
    if learner.source is not Source.CACHED or learner.partition is None:
        return False
    if after.partition not in (None, learner.partition):
        return False
    return not contains(learner.included_offset, learner.partition, after)
