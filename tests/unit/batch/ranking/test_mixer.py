"""The mixer: NumPy equals Keras, and it learns whom to trust with what."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from batch.ranking.lists import Lists, Scaling
from recsys.model.course_features import NAMES
from recsys.model.hyperparameters import HyperParameters
from recsys.model.ranker import mixed_weights
from recsys.model.ranking_lists import CURVATURE, NEVER, RankingLists, cost, curvature
from recsys.model.signals import SIGNALS

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

S, F = len(SIGNALS), len(NAMES)
PLAIN = Scaling(np.zeros(F, np.float32), np.ones(F, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32))
QUICK = HyperParameters(members=2, mixer_steps=150)


@pytest.fixture(scope="module")
def mixer() -> ModuleType:
    from batch.ranking import mixer  # noqa: PLC0415 - TensorFlow, which only the process that runs these tests wants

    return mixer


def _lists(seed: int = 0, learners: int = 120, width: int = 30) -> Lists:
    """Learners with much history are told by the first signal, the others by the first feature."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(learners, width, S)).astype(np.float32)
    features = rng.normal(size=(learners, width, F)).astype(np.float32)
    much = np.arange(learners) % 2 == 0
    context = np.where(much[:, None], 1.0, -1.0) * np.ones((1, 2))
    told = np.where(much[:, None], signals[:, :, 0], features[:, :, 0])
    labels = (np.argsort(np.argsort(-told, axis=1), axis=1) < 3).astype(np.float32)
    return Lists(signals, features, context.astype(np.float32), labels, np.zeros((learners, width), np.float32))


def test_numpy_gives_the_scores_of_keras(mixer: ModuleType) -> None:
    lists = _lists()
    inputs = np.concatenate([lists.signals, lists.features], axis=2)
    member = mixer._Member(S + F, S, 3)
    arrays = member.fit(inputs, lists.context, lists, 40).arrays
    stacked = {name: array[None] for name, array in arrays.items()} | {
        "context_mean": PLAIN.context_mean,
        "context_scale": PLAIN.context_scale,
    }
    expected = member.scores(inputs[:9], lists.context[:9]).numpy()
    found = np.stack([inputs[row] @ mixed_weights(stacked, lists.context[row]) for row in range(9)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_numpy_gives_the_loss_of_tensorflow(mixer: ModuleType) -> None:
    """Also where candidates were drawn, and where a list is shorter than others."""
    lists = _lists(learners=40)
    lists.log_inverse[:, 20:25] = 3.0
    lists.log_inverse[:, 25:] = NEVER
    lists.log_inverse[lists.labels > 0] = 0.0
    inputs = np.concatenate([lists.signals, lists.features], axis=2)
    scores = np.random.default_rng(1).normal(size=lists.labels.shape).astype(np.float32)
    expected = float(np.mean(mixer._loss(scores, lists.labels, lists.log_inverse).numpy()))
    found, _ = cost(RankingLists(inputs, scores, lists.labels, lists.log_inverse), np.zeros(S + F))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_mixer_says_how_much_its_lists_say_about_each_weight(mixer: ModuleType) -> None:
    """Nothing of an input that is the same for all candidates of a list."""
    lists = _lists()
    lists.features[:, :, 3] = lists.features[:, :1, 3]
    arrays = mixer.train_mixer(lists, PLAIN, replace(QUICK, members=1, mixer_steps=20)).arrays
    found = arrays[CURVATURE]
    assert found.shape == (S + F, S + F)
    np.testing.assert_allclose(found[S + 3], 0.0, atol=1e-4)
    assert np.delete(np.diag(found), S + 3).min() > 0.1
    base = np.stack([i @ mixed_weights(arrays, c) for i, c in zip(_inputs(lists), lists.context, strict=True)])
    again = curvature(RankingLists(_inputs(lists), base, lists.labels, lists.log_inverse))
    np.testing.assert_allclose(found, again, rtol=1e-3, atol=1e-5)


def _inputs(lists: Lists) -> np.ndarray:
    return np.concatenate([lists.signals, lists.features], axis=2)


def test_the_mixer_learns_whom_to_trust_with_what(mixer: ModuleType) -> None:
    arrays, curve = mixer.train_mixer(_lists(), PLAIN, QUICK)
    assert curve[-1] < curve[0]
    much, little = (mixed_weights(arrays, np.full(2, value, np.float32)) for value in (1.0, -1.0))
    assert np.argmax(np.abs(much)) == 0
    assert np.argmax(np.abs(little)) == S


def test_one_seed_gives_one_mixer_and_padding_counts_for_nothing(mixer: ModuleType) -> None:
    lists, quick = _lists(), replace(QUICK, members=1, mixer_steps=40)
    first, second = mixer.train_mixer(lists, PLAIN, quick).arrays, mixer.train_mixer(lists, PLAIN, quick).arrays
    np.testing.assert_allclose(first["mixer_weights"], second["mixer_weights"], atol=1e-6)
    wild = [
        np.concatenate([array, np.full_like(array[:, :5], 9.0)], axis=1) for array in (lists.signals, lists.features)
    ]
    labels, log = np.zeros((120, 5), np.float32), np.full((120, 5), NEVER, np.float32)
    padded = Lists(
        wild[0],
        wild[1],
        lists.context,
        np.concatenate([lists.labels, labels], axis=1),
        np.concatenate([lists.log_inverse, log], axis=1),
    )
    assert np.abs(mixer.train_mixer(padded, PLAIN, quick).arrays["mixer_weights"] - first["mixer_weights"]).max() < 0.2


def test_few_lists_teach_one_weighting_and_many_teach_whom_to_trust(mixer: ModuleType) -> None:
    assert mixer.network_penalty(mixer.MANY_LISTS) == mixer.network_penalty(10 * mixer.MANY_LISTS) == mixer.L2
    assert mixer.network_penalty(mixer.MANY_LISTS // 10) == pytest.approx(100 * mixer.L2)
    lists, inputs = _lists(), np.concatenate([_lists().signals, _lists().features], axis=2)
    apart = []
    for penalty in (mixer.L2, mixer.network_penalty(50)):
        arrays = mixer._Member(S + F, S, 3, penalty).fit(inputs, lists.context, lists, 100).arrays
        stacked = {name: array[None] for name, array in arrays.items()} | {
            "context_mean": PLAIN.context_mean,
            "context_scale": PLAIN.context_scale,
        }
        much, little = (mixed_weights(stacked, np.full(2, value, np.float32)) for value in (1.0, -1.0))
        apart.append(float(np.abs(much - little).max()))
    assert apart[1] < 0.1 * apart[0]


def test_an_untrained_mixer_trusts_all_signals_alike(mixer: ModuleType) -> None:
    weights = mixed_weights(mixer.untrained_mixer(PLAIN).arrays, np.array([3.0, 4.0], np.float32))
    assert np.ptp(weights[:S]) == 0
    assert weights[:S].min() > 0
