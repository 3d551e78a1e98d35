"""A dirty mark leads to the commit that set it."""

from __future__ import annotations

from recsys.keys import Shard
from stream.engagement.commit_times import MOST_COMMITS, CommitTime, CommitTimes

SHARD, OTHER = Shard(0), Shard(1)


def with_commits(*offsets: int) -> CommitTimes:
    times = CommitTimes()
    for offset in offsets:
        times.committed(SHARD, offset, CommitTime(offset / 10, offset))
    return times


def test_a_mark_is_the_fence_of_its_commit_or_lies_within_its_chunk() -> None:
    times = with_commits(10, 20)
    found = {mark: times.of_mark(SHARD, mark) for mark in (0, 9, 10, 11, 20, 21)}
    assert {mark: time and time.arrival_ms for mark, time in found.items()} == {
        0: None,
        9: None,
        10: 10,
        11: 20,
        20: 20,
        21: None,
    }
    assert times.of_mark(OTHER, 10) is None


def test_a_fence_that_went_back_forgets_what_came_after_it() -> None:
    times = with_commits(10, 20, 30)
    times.committed(SHARD, 15, CommitTime(9.0, 99))
    assert times.of_mark(SHARD, 15) == CommitTime(9.0, 99)
    assert times.of_mark(SHARD, 20) is None


def test_it_is_bounded_and_keeps_the_latest() -> None:
    times = with_commits(*range(10 * MOST_COMMITS))
    assert times.of_mark(SHARD, 10 * MOST_COMMITS - 2 * MOST_COMMITS) is None
    assert times.of_mark(SHARD, 9 * MOST_COMMITS) == CommitTime(900.0, 9 * MOST_COMMITS)


def test_shards_of_other_workers_are_forgotten() -> None:
    times = with_commits(10)
    times.forget_all_but({OTHER})
    assert times.of_mark(SHARD, 10) is None
