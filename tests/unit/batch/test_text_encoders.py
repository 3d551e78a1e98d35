"""The seam of the text encoders: TF-IDF, and a sentence-transformers model from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EngagementRule, encode
from batch.evaluation.experiment import Experiment
from batch.features import fit_text, tfidf_matrix
from batch.text_encoders import SentenceEncoder, TfidfEncoder, encoder_of, plain_texts
from batch.train import fit_hybrid
from recsys.catalog import Course
from recsys.errors import ConfigurationError
from recsys.model.bundle import as_bundle, load_bundle, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats
from recsys.model.scorer import Scorer

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Told:
    """A model as sentence-transformers have it, that knows two subjects."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], *, normalize_embeddings: bool) -> Floats:
        assert normalize_embeddings
        self.asked += texts
        return np.array([[text.startswith("kafka"), text.startswith("cooking"), 0.0] for text in texts], np.float32)


def test_tfidf_is_the_default_and_changes_nothing(courses: list[Course], small: HyperParameters) -> None:
    text = fit_text(courses, small)
    found = encoder_of(None).encode(courses, np.arange(len(courses), dtype=np.int32), text, small)
    assert isinstance(encoder_of(None), TfidfEncoder)
    np.testing.assert_array_equal(found.projected, text.project(courses))
    np.testing.assert_array_equal(found.rows.toarray(), tfidf_matrix(text, courses).toarray())


def test_a_model_gets_the_text_without_markup() -> None:
    course = Course(course_id="c", title="kafka", intro="<p>logs</p>", skills=("streams", "topics"))
    assert [text.split() for text in plain_texts([course])] == [["kafka.", "streams,", "topics.", "logs"]]


def test_each_text_is_read_once(courses: list[Course], small: HyperParameters) -> None:
    model, text = Told(), fit_text(courses, small)
    encoder, everything = SentenceEncoder(model, "told"), np.arange(len(courses), dtype=np.int32)
    first = encoder.encode(courses, everything, text, small)
    other = replace(small, seed=small.seed + 1)
    turned = encoder.encode(courses[::-1], everything, text, other)
    assert sorted(model.asked) == sorted(set(plain_texts(courses)))
    np.testing.assert_array_equal(turned.rows.toarray()[::-1], first.rows.toarray())


def test_the_bundle_carries_what_the_model_said_and_serves_without_it(
    events: pd.DataFrame,
    courses: list[Course],
    rule: EngagementRule,
    quick: HyperParameters,
    experiment: Experiment,
    tmp_path: Path,
) -> None:
    model = Told()
    told = SentenceEncoder(model, "told")
    fitted = fit_hybrid(encode(events, courses, rule), quick, rule, learned=experiment.model, encoder=told)
    assert set(model.asked) == set(plain_texts(courses))
    bundle = load_bundle(write_bundle(tmp_path, fitted.draft))
    assert bundle.documents["text_encoder.json"] == {"name": "told"}
    assert bundle.arrays["text_vectors"].shape == (len(courses), 8)
    kafka = [row for row, course in enumerate(courses) if course.category == "kafka"]
    first, last = bundle.arrays["text_indptr"][kafka[0] : kafka[0] + 2]
    links = bundle.arrays["text_indices"][first:last]
    assert sorted(links) == kafka
    asked = len(model.asked)
    loaded, made = Scorer(bundle), Scorer(as_bundle(fitted.draft))
    engaged = {"kafka-1": 1e9}
    np.testing.assert_array_equal(loaded.score("x", engaged, at_ms=0), made.score("x", engaged, at_ms=0))
    assert len(model.asked) == asked


def test_what_cannot_be_loaded_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no folder .*missing of a sentence-transformers model"):
        encoder_of(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="transformer"):
        encoder_of(tmp_path)
