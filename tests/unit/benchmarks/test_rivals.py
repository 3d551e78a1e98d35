"""The rivals learn what they are told, and find it again."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rivals import NEGATIVES, RATES, DecayedPopularity, Isgd, ItemKnn, Rival, tuned_isgd

USERS, COURSES = 40, 12
# Learners of two tastes: even ones touch even courses, odd ones odd courses.
TOUCHES = [
    (user, 2 * step + user % 2) for step in range(COURSES // 2) for user in range(USERS) if user < 38 or step < 3
]


def taught(rival: Rival) -> Rival:
    before: dict[int, list[int]] = {}
    for at_ms, (user, course) in enumerate(TOUCHES):
        rival.learn(user, course, before.setdefault(user, []), at_ms)
        before[user].append(course)
    return rival


@pytest.mark.parametrize("user", [38, 39])
@pytest.mark.parametrize("rival", [ItemKnn(COURSES), Isgd(USERS, COURSES, rate=0.2, negatives=3)])
def test_a_learner_is_recommended_what_others_of_their_taste_touched(rival: Rival, user: int) -> None:
    before = [course for each, course in TOUCHES if each == user]
    scores = taught(rival).scores(user, before).copy()
    scores[before] = -np.inf
    assert {int(row) % 2 for row in np.argsort(-scores)[:3]} == {user % 2}


def test_popularity_fades() -> None:
    popularity = DecayedPopularity(3, half_life_ms=1000)
    for course, at_ms in ((0, 10_000), (0, 10_000), (0, 10_000), (1, 12_000)):
        popularity.learn(0, course, (), at_ms)
    assert popularity.scores(0, ()).tolist() == pytest.approx([0.75, 1.0, 0.0])


def test_isgd_is_tuned_among_its_settings() -> None:
    best = tuned_isgd(TOUCHES, USERS, COURSES)
    assert (best["rate"] in RATES, best["negatives"] in NEGATIVES) == (True, True)


def test_a_rate_at_which_isgd_diverges_is_not_the_best() -> None:
    """Comparisons with NaN are false: such a rate once had no course ahead of the right one."""
    assert tuned_isgd(TOUCHES, USERS, COURSES, rates=(50.0, 0.2))["rate"] == 0.2
