"""Courses of several sources become one, field by field."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog import Course, PathPosition, Run
from recsys.course_merge import merge, merge_courses


def test_each_field_comes_from_the_first_source_that_has_it() -> None:
    first = Course(course_id="c", title="First", languages=("en",), effort_hours=3.0)
    second = Course(course_id="c", title="Second", intro="Text", languages=("fr",), min_age=16, url="u")
    assert merge(first, second) == Course(
        course_id="c", title="First", intro="Text", languages=("en",), effort_hours=3.0, min_age=16, url="u"
    )


def test_runs_and_paths_are_joined_by_their_ids() -> None:
    first = Course(
        course_id="c",
        title="C",
        runs=(Run(run_id="r1", start=1), Run(run_id="r2")),
        paths=(PathPosition(path_id="p"),),
    )
    second = Course(
        course_id="c",
        title="C",
        runs=(Run(run_id="r3"), Run(run_id="r1", start=9, end=5)),
        paths=(PathPosition(path_id="p", position=2), PathPosition(path_id="q")),
    )
    merged = merge(first, second)
    assert merged.runs == (Run(run_id="r1", start=1, end=5), Run(run_id="r2"), Run(run_id="r3"))
    assert merged.paths == (PathPosition(path_id="p", position=2), PathPosition(path_id="q"))


def test_a_course_is_retired_if_a_source_says_so_or_no_run_of_all_sources_is_open() -> None:
    hidden, invited, open_run = (
        Run(run_id="a", hidden=True),
        Run(run_id="b", invitation_only=True),
        Run(run_id="c"),
    )

    def retired(*courses: Course) -> bool:
        return merge_courses(courses)["c"].retired

    course = Course(course_id="c", title="C")
    assert retired(course, msgspec.structs.replace(course, retired=True))
    assert retired(msgspec.structs.replace(course, runs=(hidden,)), msgspec.structs.replace(course, runs=(invited,)))
    assert not retired(
        msgspec.structs.replace(course, runs=(hidden,)), msgspec.structs.replace(course, runs=(open_run,))
    )
    assert not retired(course)


_courses = st.builds(
    Course,
    course_id=st.just("c"),
    title=st.just("C"),
    intro=st.sampled_from(["", "a", "b"]),
    min_age=st.none() | st.integers(0, 9),
    retired=st.booleans(),
    runs=st.lists(
        st.builds(Run, run_id=st.sampled_from(["r", "s"]), start=st.none() | st.integers(0, 9), hidden=st.booleans()),
        max_size=2,
        unique_by=lambda run: run.run_id,
    ).map(tuple),
)


@given(_courses, _courses, _courses)
def test_merging_is_associative_and_repetition_changes_nothing(a: Course, b: Course, c: Course) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
