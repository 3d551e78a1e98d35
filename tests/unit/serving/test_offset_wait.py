"""Waiting for the event that a request names: how long, for what, and when not at all. Time is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from recsys.keys import Partition
from recsys.online_store import CachedTop
from serving.recommend.answers import Source
from serving.recommend.learner import Learner
from serving.recommend.offset_wait import PAUSE_S, OffsetWait
from serving.recommend.query import After

LIST = CachedTop("ada", "v", 1, ("c1",), (1.0,))
BEHIND = Learner(LIST, {}, Source.CACHED, Partition(3), fence=6, included_offset=6)
APPLIED = replace(BEHIND, fence=7)
LISTED = replace(APPLIED, included_offset=7)


class Time:
    """A clock that a sleep moves on; counts how often the learner was read."""

    def __init__(self, learner_at: Callable[[float], Learner]) -> None:
        self.now, self.reads, self._learner_at = 0.0, 0, learner_at

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    async def find(self) -> Learner:
        self.reads += 1
        return self._learner_at(self.now)

    async def until(self, after: After, *, wait_s: float = 0.05, ranking_s: float = 0.003) -> Learner:
        wait = OffsetWait(wait_s, clock=lambda: self.now, sleep=self.sleep)
        return await wait.until_contained(after, self.find, ranking_s=ranking_s)


async def test_a_list_that_contains_the_event_is_not_waited_for() -> None:
    time = Time(lambda _: LISTED)
    assert await time.until(After(7, 3)) == LISTED
    assert (time.now, time.reads) == (0.0, 1)


async def test_a_list_that_comes_is_taken_when_it_is_there() -> None:
    time = Time(lambda now: BEHIND if now < 0.0045 else APPLIED if now < 0.0055 else LISTED)
    assert await time.until(After(7)) == LISTED
    assert time.now == pytest.approx(0.006)


async def test_an_event_that_is_not_applied_is_given_up_at_the_limit() -> None:
    time = Time(lambda _: BEHIND)
    assert await time.until(After(7, 3)) == BEHIND
    assert time.now == pytest.approx(0.05)
    assert time.reads < 35


async def test_a_list_that_does_not_follow_its_state_is_waited_for_as_long_as_a_ranking_takes() -> None:
    time = Time(lambda now: BEHIND if now < 0.02 else APPLIED)
    assert await time.until(After(7), ranking_s=0.008) == APPLIED
    assert time.now == pytest.approx(0.02 + 0.008, abs=0.001)


async def test_a_list_that_is_ranked_sooner_than_it_can_be_waited_for_is_not_waited_for() -> None:
    time = Time(lambda now: BEHIND if now < 0.02 else APPLIED)
    assert await time.until(After(7), ranking_s=0.9 * PAUSE_S) == APPLIED
    assert time.now == pytest.approx(0.02, abs=0.1 * PAUSE_S)


async def test_a_learner_without_a_list_is_given_up_once_the_event_is_applied() -> None:
    without = replace(APPLIED, top=None, included_offset=None)
    time = Time(lambda _: without)
    assert await time.until(After(7)) == without
    assert time.now == 0.0


@pytest.mark.parametrize(
    ("learner", "after", "wait_s"),
    [
        (replace(BEHIND, partition=None), After(7), 0.05),  # merged into another
        (replace(BEHIND, source=Source.PROCESS_CACHE), After(7), 0.05),  # Redis does not answer
        (BEHIND, After(7, 4), 0.05),  # the partition of another learner, or of another partition count
        (BEHIND, After(7, 3), 0.0),
    ],
)
async def test_what_cannot_come_is_not_waited_for(learner: Learner, after: After, wait_s: float) -> None:
    time = Time(lambda _: learner)
    assert await time.until(after, wait_s=wait_s) == learner
    assert (time.now, time.reads) == (0.0, 1)


async def test_more_requests_than_may_wait_are_answered_as_things_stand() -> None:
    turn, reads = asyncio.Event(), 0

    async def find() -> Learner:
        nonlocal reads
        reads += 1
        return BEHIND

    async def sleep(_seconds: float) -> None:
        await turn.wait()

    wait = OffsetWait(0.05, clock=lambda: float(turn.is_set()), sleep=sleep, most=2)
    waiting = [asyncio.create_task(wait.until_contained(After(7), find, ranking_s=0.0)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await wait.until_contained(After(7), find, ranking_s=0.0) == BEHIND
    assert reads == 3
    turn.set()
    assert await asyncio.gather(*waiting) == [BEHIND, BEHIND]
