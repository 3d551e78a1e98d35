"""Which courses that came after the parent have rows: admission, expiry, and the bound of every table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from recsys.catalog import Course
from recsys.engagement import MS_PER_DAY
from stream.finetuning.newcomers import NewcomerRules, Newcomers, OfferedCourses

RULES = NewcomerRules(rows=2, events=4, learners=3, days=1.0, watched=5, offered=8)
NOW = 1_700_000_000_000


def course(course_id: str) -> Course:
    return Course(course_id=course_id, title=f"About {course_id}")


def offered(*courses: str, retired: Iterable[str] = (), most: int = 8) -> OfferedCourses:
    found = OfferedCourses(most)
    found.add([*((each, course(each)) for each in courses), *((each, None) for each in retired)])
    return found


def like(newcomers: Newcomers, course_id: str, *, events: int = 4, learners: int = 3, at_ms: int = NOW) -> None:
    for number in range(events):
        newcomers.saw(course_id, f"u{number % learners}", at_ms)


@pytest.mark.parametrize(
    ("events", "learners", "admitted"), [(4, 3, True), (3, 3, False), (40, 2, False), (4, 4, True)]
)
def test_it_takes_enough_events_of_enough_learners(events: int, learners: int, *, admitted: bool) -> None:
    newcomers = Newcomers(RULES, {"c1"})
    like(newcomers, "new", events=events, learners=learners)
    assert newcomers.take_over(offered("new"), NOW) == admitted
    assert list(newcomers.admitted) == ["new"] * admitted


def test_events_that_came_before_the_course_count() -> None:
    newcomers = Newcomers(RULES, {"c1"})
    like(newcomers, "new")
    assert not newcomers.take_over(offered(), NOW)
    assert newcomers.take_over(offered("new"), NOW)
    assert newcomers.admitted == {"new": course("new")}


def test_a_course_of_the_parent_needs_no_rows() -> None:
    newcomers = Newcomers(RULES, {"c1"})
    like(newcomers, "c1")
    assert not newcomers.take_over(offered("c1"), NOW)
    assert not newcomers.watched


def test_none_has_rows_where_they_are_off() -> None:
    newcomers = Newcomers(replace(RULES, rows=0), {"c1"})
    like(newcomers, "new")
    assert not newcomers.take_over(offered("new"), NOW)
    assert not newcomers.watched


def test_rows_go_when_nobody_likes_the_course_for_long() -> None:
    newcomers, catalogue = Newcomers(RULES, {"c1"}), offered("new", "newer")
    like(newcomers, "new")
    like(newcomers, "newer")
    newcomers.take_over(catalogue, NOW)
    newcomers.saw("newer", "u1", NOW + MS_PER_DAY)
    assert not newcomers.take_over(catalogue, NOW + MS_PER_DAY)
    assert newcomers.take_over(catalogue, NOW + MS_PER_DAY + 1)
    assert list(newcomers.admitted) == ["newer"]


def test_a_retired_course_loses_its_rows_and_may_come_back() -> None:
    newcomers, catalogue = Newcomers(RULES, {"c1"}), offered("new")
    like(newcomers, "new")
    newcomers.take_over(catalogue, NOW)
    catalogue.add([("new", None), ("c1", None), ("c9", None)])
    assert newcomers.take_over(catalogue, NOW)
    assert not newcomers.admitted
    assert newcomers.retired == {"c1"}
    catalogue.add([("new", course("new")), ("c1", course("c1"))])
    like(newcomers, "new")
    assert newcomers.take_over(catalogue, NOW)
    assert list(newcomers.admitted) == ["new"]
    assert not newcomers.retired


def test_what_was_taken_over_stays_until_the_catalogue_was_read_again_after_a_restart() -> None:
    newcomers, again = Newcomers(RULES, {"c1"}), Newcomers(RULES, {"c1"})
    like(newcomers, "new")
    newcomers.take_over(offered("new", retired=["c1"]), NOW)
    again.restore(newcomers.state())
    assert not again.take_over(offered(), NOW)
    assert (again.admitted, again.retired) == (newcomers.admitted, newcomers.retired)


def test_the_next_parent_has_its_own_rows() -> None:
    newcomers, following = Newcomers(RULES, {"c1"}), Newcomers(RULES, {"c1", "new"})
    like(newcomers, "new")
    like(newcomers, "newer")
    like(newcomers, "watched", events=1)
    newcomers.take_over(offered("new", "newer"), NOW)
    following.restore(newcomers.state())
    assert list(following.admitted) == ["newer"]
    assert following.watched == 1


def test_an_erased_learner_does_not_count_any_more() -> None:
    newcomers = Newcomers(RULES, {"c1"})
    like(newcomers, "new")
    newcomers.forget("u1")
    assert not newcomers.take_over(offered("new"), NOW)
    assert "u1" not in str(newcomers.state())


def test_every_table_is_bounded() -> None:
    newcomers, catalogue = Newcomers(RULES, {"c1"}), OfferedCourses(RULES.offered)
    for number in range(100):
        catalogue.add([(f"n{number}", course(f"n{number}"))])
        like(newcomers, f"n{number}", events=50, learners=50)
        newcomers.take_over(catalogue, NOW)
    assert list(newcomers.admitted) == ["n0", "n1"]
    assert newcomers.watched == RULES.watched
    assert len(catalogue) == RULES.offered
    assert all(len(learners) <= RULES.learners for _, _, learners in newcomers.state()["watched"])
