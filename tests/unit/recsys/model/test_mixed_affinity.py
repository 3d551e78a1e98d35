"""The ranker in a bundle: one learner's scores in any batch, signals computed slowly, bundles of both formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.drawn import draw_bundle, draw_learners
from recsys.course_sums.activity import FIRST, Terms, activity, added, untouched
from recsys.engagement import ForwardDecay
from recsys.errors import BundleError
from recsys.model import signals as signals_module
from recsys.model.bundle import Draft, as_bundle, load_bundle, write_bundle
from recsys.model.course_features import NAMES, course_features
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.mixed_affinity import decayed
from recsys.model.ranker import Ranker, mixed_weights
from recsys.model.scorer import Learner, Scorer
from recsys.model.signals import ITEM_ITEM, LINKS_AT_A_TIME, SIGNALS, Entries, SignalModel, log_context, standardised

NOW = 1_700_000_000_000
DAY = 86_400_000
LINKS, MEMBERS, UNITS = 4, 2, 3


@pytest.fixture
def mixed(draft: Draft) -> Draft:
    """The drawn bundle with a drawn mixer in place of the linear affinity."""
    rng, n, settings = np.random.default_rng(5), len(draft.courses), draft.settings
    d, width = settings.vector_dim, len(SIGNALS) + len(NAMES)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    arrays = {name: array for name, array in draft.arrays.items() if not name.startswith("wide")}
    arrays |= {
        "hidden_kernel": normal(POOLS * d + STRENGTH_DIM + settings.user_dim, settings.hidden),
        "features": normal(n, len(NAMES)),
        "newcomer_weights": np.eye(len(NAMES), dtype=np.float32)[3],
        "context_mean": normal(2),
        "context_scale": np.array([1.5, 2.0], np.float32),
        "mixer_weights": normal(MEMBERS, width),
        "mixer_hidden_kernel": normal(MEMBERS, 2, UNITS),
        "mixer_hidden_bias": normal(MEMBERS, UNITS),
        "mixer_output_kernel": normal(MEMBERS, UNITS, width),
        "mixer_output_bias": normal(MEMBERS, width),
    }
    for name in ITEM_ITEM:
        arrays[f"{name}_indptr"] = np.arange(n + 1, dtype=np.int64) * LINKS
        arrays[f"{name}_indices"] = rng.integers(0, n, n * LINKS).astype(np.int32)
        arrays[f"{name}_weights"] = normal(n * LINKS)
    return replace(draft, arrays=arrays)


def _engagement(rng: np.random.Generator, size: int) -> dict[str, float]:
    decay = ForwardDecay(30.0)
    rows = rng.permutation(40)[:size]
    return {f"c{row}": decay.stored(float(rng.integers(1, 9)), NOW - int(rng.integers(0, 90)) * DAY) for row in rows}


def test_a_batch_of_nobody_has_no_scores(mixed: Draft) -> None:
    nobody = np.zeros(0, np.intp)
    ranker = Ranker(mixed.arrays, mixed.settings.history_length)
    scores = ranker.scores_of(nobody, Entries(nobody, np.zeros(0, np.int32), np.zeros(0)))
    assert scores.shape == (0, len(mixed.courses))
    assert scores.dtype == np.float32
    assert Scorer(as_bundle(mixed)).rank_many([], at_ms=NOW, n=10) == []


def test_a_learner_is_ranked_alike_in_every_batch_to_the_last_bit(mixed: Draft) -> None:
    scorer, rng = Scorer(as_bundle(mixed)), np.random.default_rng(0)
    learners = [
        Learner(user, _engagement(rng, size), ("c1", "c2")) for user, size in zip("ab" * 20, range(40), strict=True)
    ]
    together = scorer.rank_many(learners, at_ms=NOW, n=10)
    for learner, found in zip(learners, together, strict=True):
        alone = scorer.rank(learner.user_id, learner.engagement, at_ms=NOW, n=10, exclude=learner.exclude)
        assert found == alone
        assert not {"c1", "c2", "c7"} & set(found[0])
        scores = scorer.score(learner.user_id, learner.engagement, at_ms=NOW)
        assert found[1] == [float(scores[int(course[1:])]) for course in found[0]]


def test_learners_of_many_links_are_ranked_alike_in_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many links as of a real catalogue; those of a long history are summed in parts."""
    scorer = Scorer.load(draw_bundle(tmp_path, courses=500, users=3))
    learners = draw_learners(60, courses=500, at_ms=NOW)
    learners[7], learners[31] = (Learner("u1", {}, ()) for _ in range(2))  # newcomers among the others
    learners[40] = Learner("u2", {f"c{row}": 1.0 + row for row in range(100)}, ())
    assert len(learners[40].engagement) * 3 * 200 > 3 * LINKS_AT_A_TIME
    alone = [scorer.rank_many([learner], at_ms=NOW, n=20)[0] for learner in learners]
    for size in (2, 7, 60):
        batches = (learners[start : start + size] for start in range(0, 60, size))
        assert [ranked for batch in batches for ranked in scorer.rank_many(batch, at_ms=NOW, n=20)] == alone
    monkeypatch.setattr(signals_module, "LINKS_AT_A_TIME", 1 << 30)  # all of a history at once
    assert [scorer.rank_many([learner], at_ms=NOW, n=20)[0] for learner in learners] == alone


def test_scores_are_the_mixed_signals_and_features(mixed: Draft) -> None:
    """Item-item signals and standardisation computed slowly, without the towers' weight."""
    a = dict(mixed.arrays)
    a["course_vectors"], a["course_bias"] = np.zeros_like(a["course_vectors"]), np.zeros_like(a["course_bias"])
    scorer = Scorer(as_bundle(replace(mixed, arrays=a)))
    engagement = _engagement(np.random.default_rng(2), 9)
    rows = np.array([int(course[1:]) for course in engagement])
    values = decayed(np.array(list(engagement.values())), at_ms=NOW, half_life_days=30.0)
    others = np.setdiff1d(np.arange(40), rows)
    signals = []
    for name in ITEM_ITEM:
        dense = np.zeros((40, 40))
        for row in range(40):
            for link in range(a[f"{name}_indptr"][row], a[f"{name}_indptr"][row + 1]):
                dense[row, a[f"{name}_indices"][link]] += a[f"{name}_weights"][link]
        raw = np.sqrt(values) @ dense[rows]
        signal = np.clip((raw - raw[others].mean()) / (raw[others].std() + 1e-6), -8, 40)
        signal[rows] = 0.0
        signals.append(signal)
    weights = mixed_weights(a, log_context(len(rows), values.sum()))
    expected = np.stack(signals).T @ weights[:3] + a["features"] @ weights[4:]
    np.testing.assert_allclose(scorer.score("x", engagement, at_ms=NOW), expected, rtol=2e-3, atol=2e-3)


def test_rows_of_any_length_are_summed_and_one_wide_row_makes_no_other_wide(mixed: Draft) -> None:
    """Ties at the last place are kept, so courses of one text have rows as long as there are such courses."""
    rng, n = np.random.default_rng(3), len(mixed.courses)
    lengths = rng.integers(0, 4, n)
    lengths[5], lengths[9] = 39, 23
    links = np.concatenate([rng.permutation(n)[:length] for length in lengths]).astype(np.int32)
    weights = rng.normal(size=len(links)).astype(np.float32)
    uneven = {"ease_indptr": np.concatenate([[0], lengths.cumsum()]), "ease_indices": links, "ease_weights": weights}
    model = SignalModel({**mixed.arrays, **uneven}, 50)
    dense = np.zeros((n, n))
    dense[np.arange(n).repeat(lengths), links] = weights
    rows, scores = np.array([9, 5, 0, 2], np.int32), np.array([5.0, 4.0, 2.0, 1.0])
    none = np.zeros(0, np.int32)
    ease = model.signals(0, rows, scores, none)[0]
    expected = standardised((np.sqrt(scores) @ dense[rows]).astype(np.float32), none)
    np.testing.assert_allclose(ease, expected, rtol=1e-4, atol=1e-4)
    assert model._links.shape[0] * model._links.shape[2] < 3 * n * LINKS  # by one width for all: 39 times n


def _with_history(mixed: Draft) -> Draft:
    """The bundle says what its course features are made of: 40 courses, each touched once, a day after the other."""
    n = len(mixed.courses)
    times = NOW - 50.0 * DAY + np.arange(n, dtype=np.float64) * DAY
    vectors = added(untouched(n), Terms(np.arange(n), times, np.ones(n), np.ones(n)))
    features = course_features(activity(vectors, NOW))
    scaling = {"feature_mean": features.mean(axis=0), "feature_scale": features.std(axis=0) + np.float32(1e-2)}
    standardised = (features - scaling["feature_mean"]) / scaling["feature_scale"]
    return replace(mixed, arrays={**mixed.arrays, **scaling, "activity": vectors, "features": standardised})


def test_the_course_features_of_now_take_the_place_of_the_frozen_ones(mixed: Draft) -> None:
    draft = _with_history(mixed)
    frozen = Scorer(as_bundle(draft))
    as_it_was = frozen.with_activity([], untouched(0), at_ms=NOW)
    for engagement in ({}, {"c3": 1e9}):
        expected, received = (scorer.score("ada", engagement, at_ms=NOW) for scorer in (frozen, as_it_was))
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    takes_off = Terms(np.zeros(60, np.int64), np.full(60, NOW - DAY / 8), np.ones(60), np.ones(60))
    live = frozen.with_activity(["c5", "unknown"], added(untouched(2), takes_off), at_ms=NOW)
    scores = live.score("x", {}, at_ms=NOW)  # a newcomer's are a popularity alone
    assert scores.argmax() == 5
    whole = draft.arrays["activity"].copy()
    whole[5] = added(untouched(1), takes_off)[0]
    whole[5, FIRST] = draft.arrays["activity"][5, FIRST]
    most = np.maximum(activity(whole, NOW).popularity, activity(draft.arrays["activity"], NOW).popularity)
    features = course_features(activity(whole, NOW)._replace(popularity=most))
    wanted = ((features - draft.arrays["feature_mean"]) / draft.arrays["feature_scale"])[:, 3]
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)
    assert frozen.score("x", {}, at_ms=NOW).argmax() != 5, "the scorer itself is immutable"


def test_a_bundle_that_does_not_say_what_its_features_are_made_of_keeps_them(mixed: Draft, draft: Draft) -> None:
    for bundle in (mixed, draft):
        scorer = Scorer(as_bundle(bundle))
        live = scorer.with_activity([], untouched(0), at_ms=NOW)
        np.testing.assert_array_equal(live.score("x", {}, at_ms=NOW), scorer.score("x", {}, at_ms=NOW))


def test_a_history_that_does_not_fit_is_refused(mixed: Draft) -> None:
    whole = _with_history(mixed)
    Scorer(as_bundle(whole))
    for name in ("feature_mean", "feature_scale"):
        with pytest.raises(BundleError, match=name):
            Scorer(as_bundle(replace(whole, arrays={key: whole.arrays[key] for key in whole.arrays if key != name})))
    with pytest.raises(BundleError, match="activity of shape"):
        Scorer(as_bundle(replace(whole, arrays={**whole.arrays, "activity": whole.arrays["activity"][1:]})))


def test_the_order_of_a_learners_engagement_does_not_matter(mixed: Draft) -> None:
    scorer, engagement = Scorer(as_bundle(mixed)), _engagement(np.random.default_rng(1), 12)
    backwards = dict(reversed(engagement.items()))
    first, second = (scorer.score("ada", some, at_ms=NOW) for some in (engagement, backwards))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_a_learner_without_positive_engagement_is_a_newcomer(mixed: Draft) -> None:
    scorer = Scorer(as_bundle(mixed))
    for engagement in ({}, {"c3": -5.0}, {"c3": 0.0}, {"c3": float("nan")}, {"nowhere": 5.0}):
        np.testing.assert_array_equal(scorer.score("x", engagement, at_ms=NOW), mixed.arrays["features"][:, 3])


def test_extreme_sums_give_finite_scores(mixed: Draft) -> None:
    scorer = Scorer(as_bundle(mixed))
    for stored in (5e-324, 1e-300, 1e308):
        for at_ms in (0, NOW, NOW + 10_000 * DAY):
            assert np.isfinite(scorer.score("ada", {"c1": stored, "c2": 1.0}, at_ms=at_ms)).all()


def test_standardising_leaves_touched_courses_at_zero() -> None:
    signal = standardised(np.array([1.0, 2.0, 3.0, 1e9], np.float32), np.array([3], np.int32))
    np.testing.assert_allclose(signal, [-1.2247, 0.0, 1.2247, 0.0], atol=1e-4)
    assert not standardised(np.full(4, 7.0, np.float32), np.zeros(0, np.int32)).any()


def test_arrays_that_do_not_fit_are_refused(mixed: Draft) -> None:
    for name, array in mixed.arrays.items():
        for broken in (
            {key: value for key, value in mixed.arrays.items() if key != name},
            {**mixed.arrays, name: np.concatenate([array, array[:1]])},
        ):
            if name == "mixer_weights" and name not in broken:
                continue  # such a bundle is not the ranker's
            with pytest.raises(BundleError):
                Scorer(as_bundle(replace(mixed, arrays=broken)))


def test_links_out_of_the_catalogue_are_refused(mixed: Draft) -> None:
    outside = {**mixed.arrays, "text_indices": mixed.arrays["text_indices"] + 40}
    with pytest.raises(BundleError, match="text_indices within 40 courses"):
        Scorer(as_bundle(replace(mixed, arrays=outside)))


def test_what_the_release_before_can_rank_is_written_in_its_format(draft: Draft, mixed: Draft, tmp_path: Path) -> None:
    """Its bundles stay in use and can be rolled back to; baselines of this release are served by its workers too."""
    for model, number in ((draft, 1), (mixed, 2)):
        path = write_bundle(tmp_path, replace(model, created_at_ms=number))
        assert json.loads((path / "manifest.json").read_text())["format"] == number
        ids, _ = Scorer.load(path).rank("ada", {"c1": 1e9}, at_ms=NOW, n=3)
        assert len(ids) == 3


def test_a_bundle_of_a_later_format_is_refused_by_name(
    mixed: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.model.bundle.RANKER_FORMAT", 3)
    path = write_bundle(tmp_path, mixed)
    with pytest.raises(BundleError, match="expected format 1 or 2"):
        load_bundle(path)
