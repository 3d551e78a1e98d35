"""Which courses that came after the parent have rows: admission, expiry, and the bound of every table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from recsys.catalog import Course
from recsys.engagement import MS_PER_DAY
from stream.finetuning.new_courses import NewCourseRules, NewCourses, OfferedCourses

RULES = NewCourseRules(rows=2, events=4, learners=3, days=1.0, watched=5, offered=8)
NOW = 1_700_000_000_000


def course(course_id: str) -> Course:
    return Course(course_id=course_id, title=f"About {course_id}")


def offered(*courses: str, retired: Iterable[str] = (), most: int = 8) -> OfferedCourses:
    found = OfferedCourses(most)
    found.add([*((each, course(each)) for each in courses), *((each, None) for each in retired)])
    return found


def like(new_courses: NewCourses, course_id: str, *, events: int = 4, learners: int = 3, at_ms: int = NOW) -> None:
    for number in range(events):
        new_courses.saw(course_id, f"u{number % learners}", at_ms)


@pytest.fixture(autouse=True)
def foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all tests: whether something would change is what `take_over` then says."""
    take_over = NewCourses.take_over

    def compared(new_courses: NewCourses, catalogue: OfferedCourses, now_ms: int) -> bool:
        said = new_courses.would_change(catalogue, now_ms)
        changed = take_over(new_courses, catalogue, now_ms)
        assert said == changed
        assert not new_courses.would_change(catalogue, now_ms)
        return changed

    monkeypatch.setattr(NewCourses, "take_over", compared)


def test_a_course_that_is_due_waits_for_a_row_without_a_word() -> None:
    """Else each verdict would write a checkpoint for nothing."""
    new_courses, catalogue = NewCourses(RULES, {"c1"}), offered("new", "newer", "newest")
    for course_id in ("new", "newer", "newest"):
        like(new_courses, course_id)
    assert new_courses.take_over(catalogue, NOW)
    assert list(new_courses.admitted) == ["new", "newer"]
    like(new_courses, "newer", at_ms=NOW + 2)
    assert not new_courses.take_over(catalogue, NOW + 1)
    assert new_courses.take_over(catalogue, NOW + MS_PER_DAY + 1)
    assert list(new_courses.admitted) == ["newer", "newest"]


@pytest.mark.parametrize(
    ("events", "learners", "admitted"), [(4, 3, True), (3, 3, False), (40, 2, False), (4, 4, True)]
)
def test_it_takes_enough_events_of_enough_learners(events: int, learners: int, *, admitted: bool) -> None:
    new_courses = NewCourses(RULES, {"c1"})
    like(new_courses, "new", events=events, learners=learners)
    assert new_courses.take_over(offered("new"), NOW) == admitted
    assert list(new_courses.admitted) == ["new"] * admitted


def test_events_that_came_before_the_course_count() -> None:
    new_courses = NewCourses(RULES, {"c1"})
    like(new_courses, "new")
    assert not new_courses.take_over(offered(), NOW)
    assert new_courses.take_over(offered("new"), NOW)
    assert new_courses.admitted == {"new": course("new")}


def test_a_course_of_the_parent_needs_no_rows() -> None:
    new_courses = NewCourses(RULES, {"c1"})
    like(new_courses, "c1")
    assert not new_courses.take_over(offered("c1"), NOW)
    assert not new_courses.watched


def test_none_has_rows_where_they_are_off() -> None:
    new_courses = NewCourses(replace(RULES, rows=0), {"c1"})
    like(new_courses, "new")
    assert not new_courses.take_over(offered("new"), NOW)
    assert not new_courses.watched


def test_rows_go_when_nobody_likes_the_course_for_long() -> None:
    new_courses, catalogue = NewCourses(RULES, {"c1"}), offered("new", "newer")
    like(new_courses, "new")
    like(new_courses, "newer")
    new_courses.take_over(catalogue, NOW)
    new_courses.saw("newer", "u1", NOW + MS_PER_DAY)
    assert not new_courses.take_over(catalogue, NOW + MS_PER_DAY)
    assert new_courses.take_over(catalogue, NOW + MS_PER_DAY + 1)
    assert list(new_courses.admitted) == ["newer"]


def test_a_retired_course_loses_its_rows_and_may_come_back() -> None:
    new_courses, catalogue = NewCourses(RULES, {"c1"}), offered("new")
    like(new_courses, "new")
    new_courses.take_over(catalogue, NOW)
    catalogue.add([("new", None), ("c1", None), ("c9", None)])
    assert new_courses.take_over(catalogue, NOW)
    assert not new_courses.admitted
    assert new_courses.retired == {"c1"}
    catalogue.add([("new", course("new")), ("c1", course("c1"))])
    like(new_courses, "new")
    assert new_courses.take_over(catalogue, NOW)
    assert list(new_courses.admitted) == ["new"]
    assert not new_courses.retired


def test_what_was_taken_over_stays_until_the_catalogue_was_read_again_after_a_restart() -> None:
    new_courses, again = NewCourses(RULES, {"c1"}), NewCourses(RULES, {"c1"})
    like(new_courses, "new")
    new_courses.take_over(offered("new", retired=["c1"]), NOW)
    again.restore(new_courses.state())
    assert not again.take_over(offered(), NOW)
    assert (again.admitted, again.retired) == (new_courses.admitted, new_courses.retired)


def test_the_next_parent_has_its_own_rows() -> None:
    new_courses, following = NewCourses(RULES, {"c1"}), NewCourses(RULES, {"c1", "new"})
    like(new_courses, "new")
    like(new_courses, "newer")
    like(new_courses, "watched", events=1)
    new_courses.take_over(offered("new", "newer"), NOW)
    following.go_on_from(new_courses.state())
    assert list(following.admitted) == ["newer"]
    assert following.watched == 1


def test_a_lowered_limit_lets_the_last_rows_go() -> None:
    new_courses, again = NewCourses(RULES, {"c1"}), NewCourses(replace(RULES, rows=1), {"c1"})
    like(new_courses, "new")
    like(new_courses, "newer")
    new_courses.take_over(offered("new", "newer"), NOW)
    again.restore(new_courses.state())
    assert list(again.admitted) == ["new", "newer"]  # as what the checkpoint has by row
    assert again.take_over(offered(), NOW)
    assert list(again.admitted) == ["new"]


def test_an_erased_learner_does_not_count_any_more() -> None:
    new_courses = NewCourses(RULES, {"c1"})
    like(new_courses, "new")
    new_courses.forget("u1")
    assert not new_courses.take_over(offered("new"), NOW)
    assert "u1" not in str(new_courses.state())


def test_every_table_is_bounded() -> None:
    new_courses, catalogue = NewCourses(RULES, {"c1"}), OfferedCourses(RULES.offered)
    for number in range(100):
        catalogue.add([(f"n{number}", course(f"n{number}"))])
        like(new_courses, f"n{number}", events=50, learners=50)
        new_courses.take_over(catalogue, NOW)
    assert list(new_courses.admitted) == ["n0", "n1"]
    assert new_courses.watched == RULES.watched
    assert len(catalogue) == RULES.offered
    assert all(len(learners) <= RULES.learners for _, _, learners in new_courses.state()["watched"])


def test_ids_that_nobody_means_displace_no_course_that_is_liked() -> None:
    new_courses = NewCourses(RULES, {"c1"})
    like(new_courses, "real", events=2)
    for number in range(100):
        new_courses.saw(f"made up {number}", "u9", NOW)
    new_courses.saw("real", "u2", NOW)
    new_courses.saw("real", "u2", NOW)
    like(new_courses, "late")
    assert new_courses.take_over(offered("real", "late"), NOW)
    assert list(new_courses.admitted) == ["real", "late"]


def test_where_all_are_liked_more_than_once_the_one_liked_longest_ago_is_forgotten() -> None:
    new_courses = NewCourses(RULES, {"c1"})
    for number in range(RULES.watched):
        like(new_courses, f"new {number}", events=2)
    like(new_courses, "new 0", events=1)
    like(new_courses, "another", events=1)
    watched = [each for each, _, _ in new_courses.state()["watched"]]
    assert watched == ["new 2", "new 3", "new 4", "new 0", "another"]
