"""What the benchmark of new learners and courses calls a problem, and what it sends."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.growth import LOOKS, clicks, new_courses, problems


def looks(half: int, end: int, learners: int = 5) -> dict[str, Any]:
    of = [{"memory_mib": half, "everything": 100, "learners": learners}] * (LOOKS - 1)
    return {"bounds": {"learners": 5}, "looks": [*of, {"memory_mib": end, "everything": 100, "learners": learners}]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (looks(100, 109), []),
        (looks(100, 111), ["memory_mib: 100 after half of the hour, 111 after it"]),
        (looks(100, 100, learners=6), ["learners: 6, at most 5"]),
    ],
)
def test_growth_after_half_of_the_hour_and_more_than_a_bound_are_problems(
    found: dict[str, Any], said: list[str]
) -> None:
    assert problems(found) == said


def test_each_part_brings_its_share_of_new_learners_and_courses() -> None:
    events = [list(clicks(look, 0.002)) for look in range(2)]
    users = [{event.user_id for event in part} for part in events]
    assert [len(part) for part in users] == [144, 144]
    assert not users[0] & users[1]
    offered = [course.course_id for look in range(LOOKS) for course in new_courses(look, 0.01)]
    assert len(offered) == len(set(offered)) == 30
