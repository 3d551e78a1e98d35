"""A snapshot knows what came strictly before its instant, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.ranking.snapshots import activity_before, snapshot
from recsys.catalog import Course
from recsys.course_sums.activity import FIRST_TOUCH_DAYS, POPULARITY_DAYS
from recsys.model.course_features import NAMES, course_features

DAY = 86_400_000


def _with_marker(events: pd.DataFrame, at_ms: int) -> pd.DataFrame:
    """The events with a storm of them at the instant, and another after it, by a learner everybody knows."""
    storm = events.head(40).assign(user_id=events["user_id"].iloc[0])
    marks = [storm.assign(timestamp=at_ms), storm.assign(timestamp=at_ms + DAY)]
    return pd.concat([events, *marks], ignore_index=True)


def test_events_at_the_instant_and_later_change_no_array_but_the_labels(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    at_ms = int(events["timestamp"].quantile(0.6))
    plain = encode(events, courses, rule)
    marked = encode(_with_marker(events, at_ms), courses, rule)
    until = int(plain.time[-1]) + 1
    one, other = (
        snapshot(encoded, at_ms, until, half_life_days=30.0, exclude_seen=True) for encoded in (plain, marked)
    )
    for name in ("sums", "seen"):
        np.testing.assert_array_equal(getattr(one, name).toarray(), getattr(other, name).toarray())
    for mine, theirs in zip(one.activity, other.activity, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(course_features(one.activity), course_features(other.activity))
    assert other.labels.nnz > one.labels.nnz


def test_labels_are_new_likes_before_the_end(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    encoded = encode(events, courses, rule)
    at_ms, until = (int(events["timestamp"].quantile(share)) for share in (0.6, 0.8))
    found = snapshot(encoded, at_ms, until, half_life_days=30.0, exclude_seen=True)
    within = (encoded.time >= at_ms) & (encoded.time < until)
    expected = np.zeros(encoded.shape, dtype=bool)
    expected[encoded.user[within], encoded.course[within]] = True
    expected &= found.seen.toarray() == 0
    np.testing.assert_array_equal(found.labels.toarray() > 0, expected)
    assert set(found.learners()) == set(np.flatnonzero(expected.any(axis=1) & (found.seen.toarray() > 0).any(axis=1)))
    assert set(found.newcomers()) == set(np.flatnonzero(expected.any(axis=1) & (found.seen.toarray() == 0).all(axis=1)))


def test_activity_is_the_sum_of_decayed_events(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    twice = pd.concat([events, events.assign(timestamp=events["timestamp"] + DAY)], ignore_index=True)
    encoded = encode(twice, courses, rule)
    at_ms = int(encoded.time[-1]) + 1
    found = activity_before(encoded, at_ms)
    course = int(encoded.course[0])
    mine = encoded.counted[encoded.course == course]
    for row, days in enumerate(POPULARITY_DAYS):
        assert np.isclose(found.popularity[row, course], np.exp2(-(at_ms - mine) / DAY / days).sum())
    learners = len(np.unique(encoded.user[encoded.course == course]))
    assert found.first_touches[FIRST_TOUCH_DAYS.index(np.inf), course] == learners < len(mine)
    assert (found.first_ms[course], found.last_ms[course]) == (mine.min(), mine.max())


def test_a_course_nobody_touched_is_marked_and_finite(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    encoded = encode(events, [*courses, Course(course_id="new", title="new")], rule)
    features = course_features(activity_before(encoded, int(encoded.time[-1]) + 1))
    assert np.isfinite(features).all()
    untouched = features[:, NAMES.index("untouched")]
    assert untouched[-1] == 1
    assert untouched[:-1].max() == 0


def test_all_courses_decaying_alike_changes_no_popularity(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    """Features frozen at a bundle's end stay what they would be if nothing happened since."""
    encoded = encode(events, courses, rule)
    end = int(encoded.time[-1]) + 1
    now, later = (course_features(activity_before(encoded, at)) for at in (end, end + 5 * DAY))
    names = [NAMES.index(name) for name in NAMES if name.startswith(("popularity", "first"))]
    np.testing.assert_allclose(now[:, names], later[:, names], atol=1e-4)
