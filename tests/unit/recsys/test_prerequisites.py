"""What is said of prerequisites that name no course."""

from recsys.catalog import Course
from recsys.prerequisites import prerequisite_remarks, unknown_prerequisites


def test_prerequisites_that_name_no_course_are_counted_by_how_many_ask_for_them() -> None:
    courses = [
        Course(course_id="a", title="A", prerequisites=("b", "gone", "gone")),
        Course(course_id="b", title="B", prerequisites=("gone", "lost")),
    ]
    assert unknown_prerequisites(courses) == {"gone": 2, "lost": 1}
    assert prerequisite_remarks(courses) == [
        "catalogue: 2 prerequisites name no course of it and bind nobody, such as 'gone' (asked for by 2)"
    ]
    assert prerequisite_remarks([Course(course_id="a", title="A", prerequisites=("a",))]) == []
