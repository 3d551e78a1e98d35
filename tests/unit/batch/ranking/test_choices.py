"""What is chosen on a snapshot: the bonus of new courses brings them where learners take them, and no further."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from batch.ranking.choices import BONUSES, PENALTIES, new_course_bonus, penalties
from batch.ranking.snapshots import Snapshot
from recsys.course_sums.activity import CourseActivity
from recsys.model.inputs import Floats
from recsys.model.item_item import Gram, Likes

COURSES = 60
NEW = np.arange(COURSES) >= 50
LEARNERS = np.arange(4, dtype=np.int32)


def _snapshot(taken: list[list[int]]) -> Snapshot:
    """Learners who saw nothing and take these courses."""
    labels = np.zeros((len(taken), COURSES), np.float32)
    for learner, courses in enumerate(taken):
        labels[learner, courses] = 1.0
    nothing = sparse.csr_array(np.zeros((len(taken), COURSES), np.float32))
    none = np.zeros(0)
    activity = CourseActivity(0, none, none, none, none)
    return Snapshot(0, nothing, nothing, activity, sparse.csr_array(labels))


def _score(_: int) -> Floats:
    """Falls from course to course; the new ones begin 1.1 below the best of the others, in the wake of all."""
    known = np.linspace(2.0, 1.0, 50)
    new = np.linspace(0.9, 0.0, 10)
    return np.concatenate([known, new]).astype(np.float32)


def test_new_courses_get_the_share_of_the_lists_that_they_have_of_the_new_likes() -> None:
    """Half of what is taken is new: the bonus lifts new courses over known ones, all ten are half of twenty places."""
    at = _snapshot([[50, 51, 0, 1]] * 4)
    bonus = new_course_bonus(at, LEARNERS, _score, NEW)
    assert bonus == BONUSES[-1] or _share(bonus) <= 0.5 < _share(bonus + 0.25)
    assert _share(bonus) > _share(0.0) == 0.0


def test_the_bonus_stops_where_it_would_cost_ranking_quality() -> None:
    """What is taken first is known: new courses may come to stand behind it, never before it."""
    at = _snapshot([[0, 1, 2, 55]] * 4)
    bonus = new_course_bonus(at, LEARNERS, _score, NEW)
    raised = _score(0) + bonus * NEW
    assert raised[NEW].max() <= raised[2]


@pytest.mark.parametrize("taken", [[[0, 1]] * 4, [[3]] * 4])
def test_no_bonus_where_nobody_took_a_new_course(taken: list[list[int]]) -> None:
    assert new_course_bonus(_snapshot(taken), LEARNERS, _score, NEW) == 0.0


def test_no_bonus_without_learners() -> None:
    assert new_course_bonus(_snapshot([[50]]), np.zeros(0, np.int32), _score, NEW) == 0.0


def test_penalties_are_compared_some_learners_at_a_time() -> None:
    """All 220 in 20,000 courses would take 17 MiB for their engagement and for the scores of each matrix."""
    learners, courses = 220, 20_000
    rng = np.random.default_rng(0)
    row = np.arange(learners).repeat(3)
    engaged, wanted = (
        sparse.csr_array(
            (np.ones(len(row), np.float32), (row, rng.integers(low, low + 30, len(row)))), (learners, courses)
        )
        for low in (0, 20)
    )
    none = np.zeros(0)
    at = Snapshot(0, engaged, engaged, CourseActivity(0, none, none, none, none), wanted)
    tracemalloc.start()
    found = penalties(at, np.arange(learners, dtype=np.int32), Gram(Likes(engaged, engaged)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20
    assert list(found) == list(PENALTIES)
    assert all(0.0 < ndcg < 0.2 for ndcg in found.values())


def _share(bonus: float) -> float:
    first = np.argsort(-(_score(0) + np.float32(bonus) * NEW), kind="stable")[:20]
    return float(NEW[first].mean())
