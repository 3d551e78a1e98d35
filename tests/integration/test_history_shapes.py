"""A comparison of models goes through on histories of every shape: whole trainings, which need no service."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from batch.encoding import EngagementRule
from batch.evaluation.experiment import run_experiment
from benchmarks.shapes import SHAPES, Shape, draw
from recsys.engagement import EngagementWeights, ForwardDecay
from recsys.exclusion import Exclusion
from recsys.model.hyperparameters import HyperParameters
from recsys.vocabulary import DEFAULT_WEIGHTS

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUICK = HyperParameters(
    vector_dim=8, user_dim=4, hidden=8, text_dim=4, epochs=1, origins=2, lists=60, members=1, mixer_steps=20
)
RULE = EngagementRule(EngagementWeights(DEFAULT_WEIGHTS), ForwardDecay(30.0), Exclusion())


@pytest.mark.parametrize(
    "shape", [SHAPES["dense"].scaled(0.015), replace(SHAPES["few instants"].scaled(0.03), text=False)]
)
def test_a_history_of_any_shape_can_be_compared_on(shape: Shape) -> None:
    """One event type, many events a learner, no word of text, twelve instants: figures are numbers, nothing leaks."""
    events, courses = draw(shape, seed=1)
    found = run_experiment(events, courses, QUICK, RULE)
    assert 0.0 < found.hybrid.mean("ndcg@10") < 1.0
    assert all(check.passed for check in found.checks)
    assert np.isfinite([value for array in found.model.arrays.values() for value in (array.min(initial=0),)]).all()
