"""A comparison as a whole: the same for the same seed, and refused where nothing can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EngagementRule
from batch.evaluation.experiment import Experiment, run_experiment
from batch.text_encoders import SentenceEncoder
from benchmarks.shapes import SHAPES, draw
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUICK = HyperParameters(
    vector_dim=8, user_dim=4, hidden=8, text_dim=4, epochs=1, origins=2, lists=60, members=1, mixer_steps=20
)


class Subjects:
    """A sentence-transformers model that knows two subjects."""

    def encode(self, texts: Sequence[str], *, normalize_embeddings: bool) -> Floats:
        assert normalize_embeddings
        return np.array([[text.startswith("kafka"), text.startswith("cooking"), 0.0] for text in texts], np.float32)


def test_the_same_seed_gives_the_same_figures(
    events: pd.DataFrame,
    courses: Sequence[Course],
    rule: EngagementRule,
    small: HyperParameters,
    experiment: Experiment,
) -> None:
    assert run_experiment(events, courses, small, rule).document() == experiment.document()


def test_a_hybrid_whose_texts_a_transformer_reads_is_compared_with_one_of_tfidf(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    """And with one of another seed."""
    encoder = SentenceEncoder(Subjects(), "subjects")
    experiment = run_experiment(events, courses, QUICK, rule, seeds=2, encoder=encoder)
    assert [len(values) for values in experiment.seeds.values()] == [len(experiment.cases)] * 2
    assert list(experiment.seeds) == [QUICK.seed, QUICK.seed + 1]
    assert experiment.seeds[QUICK.seed].tolist() == experiment.hybrid.per_user["ndcg@10"].tolist()
    found = experiment.document()
    assert found["text_encoder"] == "subjects"
    (other,) = found["alternatives"]
    assert other == "hybrid with TF-IDF"
    assert {"ndcg@10", "recall@20_cold_courses"} == set(found["alternatives"][other])


def test_a_history_at_one_instant_is_refused_with_the_reason(rule: EngagementRule) -> None:
    events, courses = draw(SHAPES["small"], seed=1)
    with pytest.raises(InputError, match="cannot be cut in time where all of its events are at one instant"):
        run_experiment(events.assign(timestamp=events["timestamp"].min()), courses, QUICK, rule)
