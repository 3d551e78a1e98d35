"""Split, label encoding, engagement weights, features, popularity and examples: nothing looks into the future."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import build_cases, warm
from batch.examples import tower_examples
from batch.features import course_features, fit_attributes, fit_text, read_texts, tfidf_matrix, tfidf_rows
from batch.split import split_at, split_share
from recsys.catalog import Course
from recsys.engagement import EngagementWeights, ForwardDecay
from recsys.errors import BundleError, InputError
from recsys.exclusion import Exclusion
from recsys.model.history import pool_weights, strength
from recsys.model.hyperparameters import HyperParameters
from recsys.model.text import TextModel
from recsys.vocabulary import DEFAULT_WEIGHTS

WEIGHTS = EngagementWeights(DEFAULT_WEIGHTS)
RULE = EngagementRule(WEIGHTS, ForwardDecay(30.0), Exclusion())


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(0, 50))
def test_a_split_is_half_open_and_loses_nothing(times: list[int], cutoff: int) -> None:
    before, after, _ = split_at(pd.DataFrame({"timestamp": times}), cutoff)
    assert all(time < cutoff for time in before["timestamp"])
    assert all(time >= cutoff for time in after["timestamp"])
    assert sorted([*before["timestamp"], *after["timestamp"]]) == sorted(times)


def test_events_of_one_instant_are_never_torn_apart() -> None:
    split = split_share(pd.DataFrame({"timestamp": [1, 2, 2, 2, 2, 2, 2, 3]}), 0.5)
    assert split.before["timestamp"].tolist() == [1]


@pytest.mark.parametrize("times", [[], [5], [5, 5, 5]])
def test_a_history_of_one_instant_cannot_be_cut(times: list[int]) -> None:
    with pytest.raises(InputError, match="cannot be cut in time"):
        split_share(pd.DataFrame({"timestamp": times}), 0.8)


def test_courses_the_catalogue_lacks_are_left_out_and_counted(events: pd.DataFrame, courses: Sequence[Course]) -> None:
    encoded = encode(events, courses[:-1], RULE)
    missing = int((events["course_id"] == courses[-1].course_id).sum())
    assert encoded.unknown_courses == missing > 0
    assert len(encoded.time) == len(events) - missing
    assert (np.diff(encoded.time) >= 0).all()


def test_an_id_map_knows_nobody_from_after_the_cut(events: pd.DataFrame, courses: Sequence[Course]) -> None:
    split = split_at(events, int(events["timestamp"].quantile(0.1)))
    assert set(encode(split.before, courses, RULE).users) == set(split.before["user_id"])


def test_examples_see_only_what_came_strictly_before(
    events: pd.DataFrame, courses: Sequence[Course], small: HyperParameters
) -> None:
    """Each example's history and targets equal those computed slowly from the events before and after it."""
    repeated = pd.concat([events, events.iloc[::3].assign(timestamp=events["timestamp"].iloc[::3] + 7 * 86_400_000)])
    encoded = encode(repeated, courses, RULE)
    examples = tower_examples(encoded, int(encoded.time[-1]) + 1, small, 30.0)
    assert examples is not None
    for e in range(0, len(examples.user), 17):
        user, at = examples.user[e] - 1, int(examples.time[e])
        past = (encoded.user == user) & (encoded.time < at)
        scores = pd.Series(encoded.weight[past] * np.exp2((encoded.counted[past] - at) / (30 * 86_400_000)))
        sums = scores.groupby(encoded.course[past]).sum().sort_values(ascending=False, kind="stable")
        best = sums.head(small.history_length)
        weights = pool_weights(best.to_numpy() / best.iloc[0], np.arange(len(best)))
        kept = examples.rows[e] < len(courses)
        assert examples.rows[e][kept].tolist() == best.index.tolist()
        np.testing.assert_allclose(examples.pools[e][kept], weights / weights.sum(axis=0), rtol=1e-4)
        assert (examples.pools[e][~kept] == 0).all()
        much = strength(np.array([len(sums)], float), np.array([sums.sum()]))[0]
        np.testing.assert_allclose(examples.strength[e], much, rtol=1e-4)
        known = examples.known[[e]].indices.tolist()
        targets = examples.targets[[e]].indices
        assert sorted(known) == sorted(sums.index)
        assert not set(known) & set(targets.tolist())
        later = encoded.course[(encoded.user == user) & (encoded.time >= at)]
        assert len(targets) > 0
        assert set(targets.tolist()) <= set(later.tolist())


def test_examples_look_at_nothing_from_their_end_on(
    events: pd.DataFrame, courses: Sequence[Course], small: HyperParameters
) -> None:
    encoded = encode(events, courses, RULE)
    at = int(encoded.time[len(encoded.time) // 2])
    past = encode(events[events["timestamp"] < at], courses, RULE)
    found, alone = tower_examples(encoded, at, small, 30.0), tower_examples(past, at, small, 30.0)
    assert found is not None
    assert alone is not None
    assert found.time.max() < at
    for name in ("time", "rows", "pools", "strength"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    for name in ("targets", "known"):
        np.testing.assert_array_equal(getattr(found, name).toarray(), getattr(alone, name).toarray())


def test_disliked_courses_are_no_targets(courses: Sequence[Course], small: HyperParameters) -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["a"] * 3,
            "course_id": ["kafka-1", "kafka-2", "kafka-4"],
            "type": ["click", "click", "dismiss"],
            "timestamp": [1, 2, 3],
            "value": [np.nan] * 3,
        }
    )
    encoded = encode(frame, courses, RULE)
    examples = tower_examples(encoded, 5, small, 30.0)
    assert examples is not None
    wanted = {courses[int(row)].course_id for row in examples.targets.indices}
    assert "kafka-2" in wanted
    assert "kafka-4" not in wanted


def test_popularity_is_told_as_it_was_known(events: pd.DataFrame, courses: Sequence[Course]) -> None:
    """Later events change nothing of what an earlier time is told."""
    from batch.ranking.tower_fit import offsets  # noqa: PLC0415 - TensorFlow
    from recsys.model.towers import OFFSET_DAYS  # noqa: PLC0415 - TensorFlow

    encoded = encode(events, courses, RULE)
    end = int(encoded.time[-1]) + 1
    table, bucket = offsets(encoded, end, encoded.time)
    for place in (100, 300, 600):
        at = int(encoded.time[place])
        known = np.searchsorted(encoded.time, at)
        counts = np.bincount(encoded.course[:known], minlength=len(courses)).astype(float)
        told = table[bucket[place], :, OFFSET_DAYS.index(np.inf)]
        mean = counts.mean()
        exact = np.log(counts / mean + 0.05)
        assert np.corrcoef(told, exact)[0, 1] > 0.9
        behind = np.bincount(encoded.course[: max(1, known - 40)], minlength=len(courses)).astype(float)
        assert (told <= np.log(counts / behind.mean() + 0.05) + 1e-5).all()


def test_tfidf_rebuilt_from_json_gives_identical_output(courses: Sequence[Course], small: HyperParameters) -> None:
    fitted = fit_text(courses[:30], small)
    saved = json.loads(json.dumps(fitted.document()))
    rebuilt = TextModel.from_document(saved, fitted.components)
    np.testing.assert_array_equal(tfidf_matrix(rebuilt, courses).toarray(), tfidf_matrix(fitted, courses).toarray())
    np.testing.assert_array_equal(rebuilt.project(courses), fitted.project(courses))


def test_a_model_fitted_by_another_version_of_the_analyser_is_refused(small: HyperParameters) -> None:
    fitted = fit_text([Course(course_id="1", title="bread soup")], small)
    old = {name: part for name, part in fitted.document().items() if name != "analyser"}
    with pytest.raises(BundleError, match="analysed by version 1"):
        TextModel.from_document(old, fitted.components)


def test_text_is_fitted_on_the_courses_given_only(courses: Sequence[Course], small: HyperParameters) -> None:
    cooking = [course for course in courses if course.category == "cooking"]
    assert "broker" not in fit_text(cooking, small).vocabulary


def test_courses_without_text_cost_nothing(small: HyperParameters) -> None:
    silent = [Course(course_id="1", title="?"), Course(course_id="2", title="!")]
    assert fit_text(silent, small).project(silent).tolist() == np.zeros((2, small.text_dim)).tolist()


def test_attributes_of_values_never_seen_have_no_label(courses: Sequence[Course]) -> None:
    fitted = fit_attributes(courses)
    known, odd = fitted.transform([courses[0], Course(course_id="x", title="a b", category="astronomy")])
    assert known[3:].sum() == 1
    assert odd[3:].sum() == 0


def test_a_catalogue_is_read_once_for_models_fitted_on_parts_of_it(
    courses: Sequence[Course], small: HyperParameters
) -> None:
    read_texts.cache_clear()
    for known in (courses[:20], courses[:30]):
        fitted = fit_text(known, small, courses)
        kept = tfidf_rows(fitted, courses)
        for found, expected in zip(kept, fitted.tfidf(courses), strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(fitted.projected(kept), fitted.project(courses))
    assert read_texts.cache_info().misses == 1


def test_a_model_fitted_on_other_texts_keeps_its_own_cuts(courses: Sequence[Course], small: HyperParameters) -> None:
    fitted = replace(fit_text(courses, small), cuts={"bread": 3})
    for found, expected in zip(tfidf_rows(fitted, courses), fitted.tfidf(courses), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_only_touched_courses_have_an_id_embedding(courses: Sequence[Course], small: HyperParameters) -> None:
    touched = np.arange(len(courses)) < 5
    features = course_features(courses, fit_text(courses, small).project(courses), fit_attributes(courses), touched)
    assert features.index.tolist() == [1, 2, 3, 4, 5] + [0] * (len(courses) - 5)


def test_cases_hold_what_came_after_and_was_not_seen_before(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    split = split_share(events, 0.7)
    encoded = encode(split.before, courses, rule)
    cases = build_cases(encoded, split.after, rule, split.cutoff_ms)
    assert warm(cases)
    for case in cases:
        mine = events[events["user_id"] == case.user_id]
        seen = set(mine.loc[mine["timestamp"] < split.cutoff_ms, "course_id"])
        later = set(mine.loc[mine["timestamp"] >= split.cutoff_ms, "course_id"])
        assert {courses[row].course_id for row in case.relevant} == later - seen
        assert {courses[row].course_id for row in case.rows} == seen
        assert (case.user_row >= 0) == bool(seen)


def _liked(courses: Sequence[Course], exclusion: Exclusion) -> set[str]:
    """What counts as a hit for a learner who watched kafka-1, saw kafka-2, and later touched these two and kafka-3."""
    rows = [
        ("a", "kafka-1", "progress", 1, 0.95),
        ("a", "kafka-2", "view", 2, np.nan),
        ("a", "kafka-1", "click", 9, np.nan),
        ("a", "kafka-2", "click", 9, np.nan),
        ("a", "kafka-3", "click", 9, np.nan),
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "course_id", "type", "timestamp", "value"])
    rule = EngagementRule(WEIGHTS, ForwardDecay(30.0), exclusion)
    split = split_at(frame, 5)
    (case,) = build_cases(encode(split.before, courses, rule), split.after, rule, 5)
    assert not set(case.excluded) & set(case.relevant)
    assert {courses[row].course_id for row in case.rows} == {"kafka-1", "kafka-2"}
    return {courses[row].course_id for row in case.relevant}


def test_what_counts_as_a_hit_is_what_an_answer_may_hold(courses: Sequence[Course]) -> None:
    assert _liked(courses, Exclusion(exclude_seen=True)) == {"kafka-3"}
    assert _liked(courses, Exclusion(exclude_seen=False)) == {"kafka-2", "kafka-3"}
    assert _liked(courses, Exclusion(1.0, exclude_seen=False)) == {"kafka-1", "kafka-2", "kafka-3"}
