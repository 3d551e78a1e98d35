"""The towers, their training, and the arrays they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import build_cases, warm
from batch.evaluation.evaluate import CatalogueFacts, evaluate
from batch.examples import build_examples
from batch.features import course_features, fit_attributes, fit_text, tfidf_matrix
from batch.popularity import log_popularity, popularity_timeline
from batch.split import split_share
from batch.train import fit_hybrid, no_wide, recommender
from recsys.catalog import Course
from recsys.errors import ConfigurationError, InputError
from recsys.model.bundle import Draft, as_bundle, load_bundle, write_bundle
from recsys.model.hyperparameters import SAMPLERS, HyperParameters
from recsys.model.inputs import pool_engagement
from recsys.model.negatives import make_sampler
from recsys.model.scorer import Scorer
from recsys.model.towers import HybridTowers
from recsys.model.training import TrainingInputs, _Batches, train_towers

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def encoded(events: pd.DataFrame, courses: list[Course], rule: EngagementRule) -> EncodedEvents:
    return encode(events, courses, rule)


@pytest.fixture(scope="module")
def inputs(encoded: EncodedEvents, small: HyperParameters) -> TrainingInputs:
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    features = course_features(
        encoded.courses, fit_text(encoded.courses, small), fit_attributes(encoded.courses), touched
    )
    timeline, examples = popularity_timeline(encoded, 14.0), build_examples(encoded, small, 30.0)
    return TrainingInputs(examples, features, encoded.touched(), timeline.table, timeline.bucket(examples.time))


@pytest.fixture(scope="module")
def model(encoded: EncodedEvents, small: HyperParameters, rule: EngagementRule) -> Draft:
    return fit_hybrid(encoded, small, rule)


def test_the_scorer_reproduces_the_towers(
    encoded: EncodedEvents, inputs: TrainingInputs, small: HyperParameters, model: Draft
) -> None:
    """NumPy and Keras give the same affinity to 1e-5, for known and unknown users and for an empty history."""
    towers = train_towers(inputs, replace(small, epochs=1))
    popularity = log_popularity(np.arange(1.0, len(encoded.courses) + 1))
    arrays = towers.export(inputs.features, popularity) | no_wide(encoded)
    scorer = Scorer(as_bundle(replace(model, arrays=arrays)))
    rng = np.random.default_rng(0)
    features = inputs.features
    vectors, bias = towers.course([features.index, features.text, features.attributes], training=False)
    for user, size in ((0, 0), (0, 1), (3, 5), (7, 30)):
        rows = rng.permutation(len(encoded.courses))[:size].astype(np.int32)
        stored = rng.random(size) * 1e9
        at = int(encoded.time[-1])
        pool = pool_engagement(rows, stored, at_ms=at, half_life_days=30.0, power=0.5, length=small.history_length)
        history, weights = (
            np.zeros((1, small.history_length), np.int32),
            np.zeros((1, small.history_length), np.float32),
        )
        history[0, : len(pool.rows)], weights[0, : len(pool.rows)] = features.index[pool.rows], pool.weights
        text = (pool.weights @ features.text[pool.rows])[None]
        vector = towers.user([np.array([user]), history, weights, text, pool.strength[None]], training=False)
        expected = vectors.numpy() @ vector.numpy()[0] + bias.numpy()[:, 0]
        expected += float(towers.popularity_weight.value.numpy()) * popularity
        np.testing.assert_allclose(scorer.score_rows(user, rows, stored, at_ms=at), expected, rtol=1e-5, atol=1e-5)


def test_weights_saved_for_a_fine_tuner_restore_the_towers(
    inputs: TrainingInputs, small: HyperParameters, model: Draft, tmp_path: Path
) -> None:
    loaded = load_bundle(write_bundle(tmp_path, model))
    towers = HybridTowers(
        small,
        n_users=len(loaded.users),
        n_courses=len(loaded.courses),
        n_attributes=inputs.features.attributes.shape[1],
    )
    for name, tower in (("user_tower", towers.user), ("course_tower", towers.course)):
        file = tmp_path / f"{name}.weights.h5"
        file.write_bytes(loaded.blobs[file.name])
        tower.load_weights(file)
    again = towers.export(inputs.features, np.zeros(len(loaded.courses), np.float32))
    np.testing.assert_allclose(again["course_vectors"], loaded.arrays["course_vectors"], atol=1e-6)
    np.testing.assert_allclose(again["history_vectors"], loaded.arrays["history_vectors"], atol=1e-6)


def test_training_learns_what_each_learner_is_after(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    split = split_share(events, 0.7)
    encoded = encode(split.before, courses, rule)
    cases = warm(build_cases(encoded, split.after, rule, split.cutoff_ms))
    facts = CatalogueFacts(encoded, tfidf_matrix(fit_text(courses, small), courses))
    losses: list[float] = []

    def look(_epoch: int, loss: float, _model: Draft) -> bool:
        losses.append(loss)
        return True

    trained = fit_hybrid(encoded, replace(small, wide_weight=0.0), rule, on_epoch=look)
    untrained = fit_hybrid(encoded, replace(small, wide_weight=0.0, learning_rate=1e-9, epochs=1), rule)
    assert losses[-1] < losses[0]
    gain = evaluate(recommender(trained), cases, facts).mean("recall@20")
    assert gain > evaluate(recommender(untrained), cases, facts).mean("recall@20") + 0.1


def test_the_same_seed_gives_the_same_model_and_another_does_not(
    inputs: TrainingInputs, small: HyperParameters, encoded: EncodedEvents
) -> None:
    one = replace(small, epochs=1)
    popularity = np.zeros(len(encoded.courses), np.float32)
    first, second, other = (
        train_towers(inputs, settings).export(inputs.features, popularity)["course_vectors"]
        for settings in (one, one, replace(one, seed=1))
    )
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert np.abs(first - other).max() > 1e-2


def test_one_event_serves_a_learner_nobody_trained_on(model: Draft) -> None:
    scorer = Scorer(as_bundle(model))
    at = model.created_at_ms
    for subject in ("kafka", "cooking"):
        top, _ = scorer.rank("stranger", {f"{subject}-1": 1e9}, at_ms=at, n=5, exclude={f"{subject}-1"})
        assert sum(course_id.startswith(subject) for course_id in top) >= 4


def test_a_new_course_is_placed_by_its_text_alone(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, small: HyperParameters
) -> None:
    new = [
        Course(course_id="new-kafka", title="kafka broker", intro="topic broker offset", category="kafka"),
        Course(course_id="new-cooking", title="cooking soup", intro="bread soup pasta", category="cooking"),
    ]
    encoded = encode(events, [*courses, *new], rule)
    scorer = Scorer(as_bundle(fit_hybrid(encoded, small, rule)))
    for subject, other in (("kafka", "cooking"), ("cooking", "kafka")):
        engaged = {f"{subject}-{i}": 1e9 for i in range(4)}
        scores = dict(zip(scorer.course_ids, scorer.score("x", engaged, at_ms=int(encoded.time[-1])), strict=True))
        assert scores[f"new-{subject}"] > scores[f"new-{other}"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_sampler_ever_makes_a_touched_course_a_negative(
    name: str, inputs: TrainingInputs, small: HyperParameters
) -> None:
    frequencies = np.bincount(inputs.examples.course, minlength=inputs.touched.shape[1]).astype(float)
    rng = np.random.default_rng(0)
    batches = _Batches(inputs, small, make_sampler(name, frequencies), rng, 64)
    users = inputs.examples.user[:64]
    candidates = make_sampler(name, frequencies).draw(inputs.examples.course[:64], 200, rng).courses
    negative = batches._negative(users, candidates)
    touched = inputs.touched.toarray()[users - 1][:, candidates] > 0
    assert touched.any()
    np.testing.assert_array_equal(negative, ~touched)


@pytest.mark.parametrize("name", ["uniform", "popularity", "in_batch"])
def test_a_sampler_draws_as_often_as_its_log_q_says(name: str) -> None:
    frequencies = np.array([100.0, 30.0, 10.0, 60.0])
    positives = np.repeat(np.arange(4, dtype=np.int32), frequencies.astype(int))
    sampler, rng = make_sampler(name, frequencies), np.random.default_rng(0)
    drawn = [sampler.draw(positives, 50, rng) for _ in range(2000)]
    counts = np.bincount(np.concatenate([d.courses for d in drawn]), minlength=4) / (2000 * 50)
    np.testing.assert_allclose(counts, np.exp(drawn[0].log_q), rtol=0.05)


def test_hard_negatives_train_too(inputs: TrainingInputs, small: HyperParameters) -> None:
    losses: list[float] = []

    def note(_epoch: int, loss: float, _towers: object) -> bool:
        losses.append(loss)
        return True

    train_towers(
        inputs,
        replace(small, sampler="hard", epochs=2),
        after_epoch=note,
    )
    assert losses[1] < losses[0]


def test_impossible_settings_are_refused_with_what_was_expected() -> None:
    with pytest.raises(ConfigurationError, match="sampler out of uniform"):
        HyperParameters(sampler="magic")
    with pytest.raises(ConfigurationError, match="dropout"):
        HyperParameters(dropout=1.0)


def test_a_history_too_small_is_refused(encoded: EncodedEvents, rule: EngagementRule, small: HyperParameters) -> None:
    few = replace(
        encoded, user=encoded.user[:5], course=encoded.course[:5], time=encoded.time[:5], weight=encoded.weight[:5]
    )
    with pytest.raises(InputError, match="5 with courses of the catalogue in this part of the history, 50 are needed"):
        fit_hybrid(few, small, rule)
