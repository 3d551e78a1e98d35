"""Cases, baselines, the blend and figures of lists."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from batch.encoding import EngagementRule, encode
from batch.evaluation.baselines import Ease, Ials, ItemKnn, Popularity, TextProfile
from batch.evaluation.blend import Blend, standardised, tune_blend
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import CatalogueFacts, evaluate, mean_diversity, ndcg
from batch.features import fit_text, tfidf_matrix
from batch.ranking.likes import liked_matrix
from batch.split import split_share
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats


def test_baselines_that_read_the_learner_beat_popularity_where_tastes_are_all(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    split = split_share(events, 0.7)
    encoded = encode(split.before, courses, rule)
    cases = warm(build_cases(encoded, split.after, rule, split.cutoff_ms))
    facts = CatalogueFacts(encoded, tfidf_matrix(fit_text(courses, small), courses))
    popular = evaluate(Popularity(encoded), cases, facts).mean("ndcg@10")
    for model in (
        ItemKnn(encoded, 20, 30.0),
        Ease(encoded, 10.0, 30.0),
        Ials(encoded, 10.0, 30.0, seed=0),
        TextProfile(encoded, facts.text, 30.0),
    ):
        assert evaluate(model, cases, facts).mean("ndcg@10") > popular


def test_ease_holds_no_dense_matrix_of_a_large_catalogue(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    """And scores as if it did: in a catalogue of 5,000 courses, 40 of them with events, no course has 200 others."""
    more = [*courses, *(Course(course_id=f"more-{number}", title="") for number in range(4960))]
    encoded = encode(events, more, rule)
    tracemalloc.start()
    pruned = Ease(encoded, 10.0, 30.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 5000**2
    dense = Ease(encoded, 10.0, 30.0, max_dense=5000)
    np.testing.assert_allclose(pruned.score(_case(0, [])), dense.score(_case(0, [])), rtol=1e-5, atol=1e-6)


class _Fixed:
    """Scores alike for everybody."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = np.array(scores, np.float32)

    def score(self, case: Case) -> Floats:
        return self._scores


def _case(learner: int, relevant: Sequence[int], excluded: Sequence[int] = ()) -> Case:
    nothing, rows = np.zeros(0), np.array(excluded, np.int32)
    return Case(f"l{learner}", learner, rows, nothing, rows, np.array(relevant, np.int32), 0)


def test_a_blend_is_the_weighted_sum_of_scores_standardised_over_what_may_be_shown() -> None:
    members = {"one": _Fixed([1000.0, 1.0, 2.0, 3.0]), "other": _Fixed([0.0, 5.0, 5.0, 8.0])}
    offered = np.ones(4, dtype=bool)
    scores = Blend(members, {"one": 2.0, "other": 1.0}, offered).score(_case(0, [3], excluded=[0]))
    one, other = np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 8.0])
    expected = 2.0 * (one - one.mean()) / one.std() + (other - other.mean()) / other.std()
    np.testing.assert_allclose(scores[1:], expected, rtol=1e-5)
    assert not standardised(np.full(4, 7.0, np.float32), offered).any()


def test_the_weights_of_a_blend_follow_who_is_right_and_beat_each_member_where_both_are_needed() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=200), rng.normal(size=200)
    relevant = np.argsort(-(first + 2.0 * second))[:10]
    cases = [_case(learner, relevant.tolist()) for learner in range(5)]
    members = {
        "first": _Fixed(first.tolist()),
        "second": _Fixed(second.tolist()),
        "noise": _Fixed(rng.random(200).tolist()),
    }
    offered = np.ones(200, dtype=bool)
    weights = tune_blend(members, cases, offered, seed=0)
    assert weights["noise"] < 0.1 < weights["first"] < weights["second"]
    blend = Blend(members, weights, offered)
    best = max(ndcg(member, cases, offered).mean() for member in members.values())
    assert ndcg(blend, cases, offered).mean() > best + 0.1
    assert tune_blend(members, cases, offered, seed=0) == weights
    assert set(tune_blend(members, [], offered, seed=0).values()) == {1.0}


def test_diversity_is_the_mean_over_the_pairs_of_each_list() -> None:
    text = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]])
    similarity = text @ text.T
    first, second = [0, 1, 2], [2, 3]
    mean = [1 - np.mean([similarity[a, b] for a in rows for b in rows if a != b]) for rows in (first, second)]
    found = mean_diversity([first, [0], second, []], sparse.csr_array(text))
    assert found == pytest.approx(np.mean(mean))
    assert mean_diversity([[1]], sparse.csr_array(text)) == 0.0


def test_popularity_shows_everybody_the_same(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    encoded = encode(events, courses, rule)
    facts = CatalogueFacts(encoded, tfidf_matrix(fit_text(courses, small), courses))
    late = events.assign(user_id="newcomer").tail(5)
    case = build_cases(encoded, late, rule, int(encoded.time[-1]))[0]
    result = evaluate(Popularity(encoded), [case, case], facts)
    assert result.overall["coverage@10"] == pytest.approx(10 / len(courses))
    assert 0.0 <= result.overall["diversity@10"] <= 1.0


def test_the_newest_liking_of_a_pair_is_the_one_that_counts(courses: Sequence[Course], rule: EngagementRule) -> None:
    day = 86_400_000
    frame = pd.DataFrame(
        {
            "user_id": ["a", "a", "b"],
            "course_id": ["kafka-1", "kafka-1", "kafka-2"],
            "type": "click",
            "timestamp": [10 * day, 20 * day, 30 * day],
            "value": np.nan,
        }
    )
    liked = liked_matrix(encode(frame, courses, rule), half_life_days=10.0).toarray()
    assert liked.sum(axis=1).tolist() == [0.5, 1.0]
