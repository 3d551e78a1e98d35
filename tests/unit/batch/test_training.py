"""The hybrid model: its training, and the arrays it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.experiment import Experiment
from batch.features import course_features, fit_attributes, fit_text
from batch.train import Hybrid, fit_hybrid
from recsys.catalog import Course
from recsys.engagement import MS_PER_DAY
from recsys.errors import BundleError, ConfigurationError, InputError
from recsys.model.bundle import Draft, as_bundle, load_bundle, write_bundle
from recsys.model.history import pool_weights, strength
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures
from recsys.model.ranking_lists import CURVATURE
from recsys.model.scorer import Learner, Scorer
from recsys.model.signals import SignalModel

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def encoded(experiment: Experiment) -> EncodedEvents:
    return experiment.encoded


@pytest.fixture(scope="module")
def features(encoded: EncodedEvents, small: HyperParameters) -> CourseFeatures:
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    return course_features(
        encoded.courses,
        fit_text(encoded.courses, small).project(encoded.courses),
        fit_attributes(encoded.courses),
        touched,
    )


@pytest.fixture(scope="module")
def hybrid(experiment: Experiment) -> Draft:
    """Fitted on `encoded`."""
    return experiment.model


def test_the_signals_reproduce_the_towers(
    encoded: EncodedEvents, features: CourseFeatures, small: HyperParameters, hybrid: Draft
) -> None:
    """NumPy and Keras give the same affinity to 1e-5, for known and unknown users and for an empty history."""
    from batch.ranking.tower_fit import TowerFit  # noqa: PLC0415 - TensorFlow

    end = int(encoded.time[-1]) + 1
    training, _ = TowerFit(encoded, features, replace(small, epochs=1), 30.0).before(end, None, lambda _d, _t: None)
    towers = training.towers
    arrays = {**hybrid.arrays, **towers.export()}
    model = SignalModel(arrays, small.history_length)
    vectors, bias = towers.catalogue()
    rng = np.random.default_rng(0)
    n, length = len(encoded.courses), small.history_length
    for user, size in ((0, 0), (0, 1), (3, 5), (7, 30)):
        rows = rng.permutation(n)[:size].astype(np.int32)
        scores = np.sort(rng.random(size) * 20)[::-1]
        history, pools = np.full((1, length), n, np.int32), np.zeros((1, length, 5), np.float32)
        kept = rows[:length]
        if size:
            weights = pool_weights(scores[: len(kept)] / scores[0], np.arange(len(kept)))
            history[0, : len(kept)], pools[0, : len(kept)] = kept, weights / weights.sum(axis=0)
        much = strength(np.array([float(size)]), np.array([scores.sum()]))
        vector = towers.user([np.array([user]), history, pools, much], training=False).numpy()[0]
        mine = model.user_vector(user, rows, scores)
        expected = vectors.numpy() @ vector + bias.numpy()
        found = arrays["course_vectors"] @ mine + arrays["course_bias"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_weights_saved_for_a_fine_tuner_restore_the_towers(
    features: CourseFeatures, small: HyperParameters, hybrid: Draft, tmp_path: Path
) -> None:
    from recsys.model.towers import HybridTowers  # noqa: PLC0415 - TensorFlow

    loaded = load_bundle(write_bundle(tmp_path, hybrid))
    towers = HybridTowers(small, n_users=len(loaded.users), features=features)
    for name, tower in (("user_tower", towers.user), ("course_tower", towers.course)):
        file = tmp_path / f"{name}.weights.h5"
        file.write_bytes(loaded.blobs[file.name])
        tower.load_weights(file)
    again = towers.export()
    for name in ("course_vectors", "history_vectors", "user_embeddings"):
        np.testing.assert_allclose(again[name], loaded.arrays[name], atol=1e-6)


def test_a_saved_and_loaded_model_gives_identical_scores(hybrid: Draft, tmp_path: Path) -> None:
    """To the last bit, for learners with much, little and no history, one by one and together."""
    before, after = Scorer(as_bundle(hybrid)), Scorer.load(write_bundle(tmp_path, hybrid))
    at = hybrid.created_at_ms
    sums = [
        {},
        {"kafka-1": 1e9},
        {f"{subject}-{i}": 1e9 / (i + 1) for subject in ("kafka", "cooking") for i in range(6)},
    ]
    users = ["stranger", *hybrid.users[:2]]
    for user, engagement in zip(users, sums, strict=True):
        scores = after.score(user, engagement, at_ms=at)
        assert scores.tobytes() == before.score(user, engagement, at_ms=at).tobytes()
    learners = [Learner(user, engagement) for user, engagement in zip(users, sums, strict=True)]
    assert after.rank_many(learners, at_ms=at, n=5) == before.rank_many(learners, at_ms=at, n=5)


def test_one_flipped_bit_in_any_file_of_a_trained_model_is_refused(hybrid: Draft, tmp_path: Path) -> None:
    """Of mixer, item-item matrices, towers and Keras weights alike."""
    folder, rng = write_bundle(tmp_path, hybrid), np.random.default_rng(2)
    files = sorted(folder.iterdir())
    assert {"mixer_weights.npy", "ease_weights.npy", "user_tower.weights.h5"} <= {file.name for file in files}
    for file in files:
        original = file.read_bytes()
        changed = bytearray(original)
        changed[int(rng.integers(len(original)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        with pytest.raises(BundleError):
            Scorer.load(folder)
        file.write_bytes(original)
    assert Scorer.load(folder).version == folder.name


def test_training_learns_what_each_learner_is_after(experiment: Experiment) -> None:
    assert experiment.fitted.curve[-1] < experiment.fitted.curve[0]
    assert set(experiment.fitted.penalties) >= {experiment.model.settings.item_item_l2}
    assert experiment.fitted.lists > 0
    assert np.diag(experiment.model.arrays[CURVATURE]).max() > 0
    popularity = experiment.baselines["popularity"].mean("recall@20")
    assert experiment.hybrid.mean("recall@20") > popularity + 0.1


@pytest.fixture(scope="module")
def later(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters, hybrid: Draft
) -> Hybrid:
    """The model of a longer history, with two new courses at the end of the catalogue and another seed."""
    new = [
        Course(course_id="new-kafka", title="kafka broker", intro="topic broker offset"),
        Course(course_id="new-cooking", title="cooking soup", intro="bread soup pasta"),
    ]
    other = replace(small, item_item_l2=7.0, seed=2)
    return fit_hybrid(encode(events, [*courses, *new], rule), other, rule, learned=hybrid)


def test_a_longer_history_takes_over_what_was_learned(later: Hybrid, hybrid: Draft) -> None:
    """The mixer and the penalty are those of the first model; what they are applied to is new, here by the seed."""
    assert later.draft.settings.item_item_l2 == hybrid.settings.item_item_l2
    assert (later.lists, later.penalties) == (0, {})
    for name in ("mixer_weights", "feature_mean", "newcomer_weights", CURVATURE):
        np.testing.assert_array_equal(later.draft.arrays[name], hybrid.arrays[name])
    before = hybrid.arrays["course_vectors"]
    assert np.abs(before - later.draft.arrays["course_vectors"][: len(before)]).max() > 1e-2


def test_one_event_serves_a_learner_nobody_trained_on(hybrid: Draft) -> None:
    scorer = Scorer(as_bundle(hybrid))
    at = hybrid.created_at_ms
    for subject in ("kafka", "cooking"):
        top, _ = scorer.rank("stranger", {f"{subject}-1": 1e9}, at_ms=at, n=5, exclude={f"{subject}-1"})
        assert sum(course_id.startswith(subject) for course_id in top) >= 4


def test_a_new_course_is_placed_by_its_text_alone(later: Hybrid) -> None:
    scorer = Scorer(as_bundle(later.draft))
    for subject, other in (("kafka", "cooking"), ("cooking", "kafka")):
        engaged = {f"{subject}-{i}": 1e9 for i in range(4)}
        at_ms = later.draft.created_at_ms
        scores = dict(zip(scorer.course_ids, scorer.score("x", engaged, at_ms=at_ms), strict=True))
        assert scores[f"new-{subject}"] > scores[f"new-{other}"]


def test_newcomers_get_what_is_popular(hybrid: Draft) -> None:
    """A learner without engagement is ranked by one of the popularities alone."""
    scorer = Scorer(as_bundle(hybrid))
    scores = scorer.score("nobody", {}, at_ms=hybrid.created_at_ms)
    features, weights = hybrid.arrays["features"], hybrid.arrays["newcomer_weights"]
    (chosen,) = np.flatnonzero(weights)
    np.testing.assert_array_equal(scores, features[:, chosen])


@pytest.mark.parametrize("distinct_times", [True, False])
def test_a_history_without_anything_to_learn_from_still_gives_a_model(
    distinct_times: bool, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    """Nobody comes back: there is no list to learn from, no example of the towers, and no text signal."""
    bare = [Course(course_id=course.course_id, title="") for course in courses]
    frame = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(80)],
            "course_id": [bare[i * i % 7].course_id for i in range(80)],
            "type": "click",
            "timestamp": [10**12 + i * distinct_times for i in range(80)],
            "value": np.nan,
        }
    )
    fitted = fit_hybrid(encode(frame, bare, rule), small, rule)
    assert (fitted.lists, list(fitted.curve)) == (0, [])
    scorer = Scorer(as_bundle(fitted.draft))
    for engagement in ({}, {bare[0].course_id: 1e9}):
        top, scores = scorer.rank("u1", engagement, at_ms=10**12, n=5)
        assert len(top) == 5
        assert np.isfinite(scores).all()


def test_impossible_settings_are_refused_with_what_was_expected() -> None:
    with pytest.raises(ConfigurationError, match="origins of at least 1"):
        HyperParameters(origins=0)
    with pytest.raises(ConfigurationError, match="dropout"):
        HyperParameters(dropout=1.0)


def test_a_history_too_small_is_refused(encoded: EncodedEvents, rule: EngagementRule, small: HyperParameters) -> None:
    few = replace(
        encoded, user=encoded.user[:5], course=encoded.course[:5], time=encoded.time[:5], weight=encoded.weight[:5]
    )
    with pytest.raises(InputError, match="5 with courses of the catalogue in this part of the history, 50 are needed"):
        fit_hybrid(few, small, rule)


def test_a_history_of_few_instants_is_learned_as_it_is_used(
    events: pd.DataFrame, courses: list[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    """Snapshots lie right after their last events, as the model itself does, however long it is to the next."""
    first, last = events["timestamp"].min(), events["timestamp"].max()
    number = (events["timestamp"] - first) * 12 // (last - first)
    coarse = events.assign(timestamp=first + number * 30 * MS_PER_DAY)
    shortly = replace(small, epochs=1, lists=40, mixer_steps=20)
    found = fit_hybrid(encode(coarse, courses, rule), shortly, rule).draft.arrays["features"]
    assert np.abs(found).max() < 6.0
