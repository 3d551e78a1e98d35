"""The age of the oldest mark, read from when the fence moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recsys.keys import Shard
from stream.engagement.mark_ages import MOST_MOVES, RESOLUTION_S, MarkAges

SHARD = Shard(3)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_mark_is_as_old_as_the_move_of_the_fence_that_set_it() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.saw(SHARD, None)
    for offset in (10, 20, 30):
        clock.now += 5
        ages.moved(SHARD, offset)
    clock.now += 1
    for mark, age in ((10, 11.0), (11, 6.0), (20, 6.0), (30, 1.0)):
        ages.saw(SHARD, mark)
        assert ages.age_s(SHARD) == age


def test_a_mark_that_was_read_before_the_worker_was_told_of_its_commit_is_young() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.moved(SHARD, 10)
    clock.now += 1000
    ages.moved(SHARD, 20)
    ages.saw(SHARD, 25)
    assert ages.age_s(SHARD) == 0.0


def test_marks_of_an_earlier_owner_count_from_the_first_sight_of_the_shard() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.saw(SHARD, 500)
    clock.now += 7
    ages.saw(SHARD, 501)
    assert ages.age_s(SHARD) == 7.0


def test_marks_of_a_publication_are_no_older_than_the_last_sight_without_any() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.moved(SHARD, 10)
    clock.now += 3600
    ages.saw(SHARD, None)
    clock.now += 2
    ages.saw(SHARD, 0)
    assert ages.age_s(SHARD) == 2.0


def test_a_shard_without_marks_or_of_another_worker_has_no_age() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.moved(SHARD, 10)
    ages.saw(SHARD, 10)
    clock.now += 9
    ages.saw(SHARD, None)
    assert ages.age_s(SHARD) == 0.0
    ages.saw(SHARD, 10)
    ages.forget_all_but([])
    clock.now += 9
    assert ages.age_s(SHARD) == 0.0


def test_a_move_that_was_told_of_after_the_shard_was_lost_is_forgotten_too() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.moved(SHARD, 10)  # the step in work, when the shard was revoked
    ages.forget_all_but([])
    clock.now += 3600
    ages.saw(SHARD, 50)  # it is this worker's again; another one set the mark
    assert ages.age_s(SHARD) == 0.0


@given(st.lists(st.floats(0.0, 0.3), min_size=1, max_size=MOST_MOVES + 100), st.data())
def test_an_age_is_never_shown_too_low_and_memory_stays_bounded(pauses: list[float], data: st.DataObject) -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.saw(SHARD, None)
    set_at = []
    for offset, pause in enumerate(pauses):
        clock.now += pause
        ages.moved(SHARD, offset)
        set_at.append(clock.now)
    mark = data.draw(st.integers(0, len(pauses) - 1))
    ages.saw(SHARD, mark)
    true_age = clock.now - set_at[mark]
    assert true_age - 1e-9 <= ages.age_s(SHARD) <= true_age + RESOLUTION_S + 1e-9


def test_memory_stays_bounded_where_nothing_is_refreshed_and_ages_are_rather_too_high() -> None:
    clock = Clock()
    ages = MarkAges(clock)
    ages.saw(SHARD, None)
    for offset in range(3 * MOST_MOVES):
        clock.now += 1
        ages.moved(SHARD, offset)
    ages.saw(SHARD, 0)
    assert ages.moves(SHARD) <= MOST_MOVES
    ages.saw(SHARD, 3 * MOST_MOVES - 100)
    assert 99 <= ages.age_s(SHARD) <= 99 + 2
