"""Whole trainings, which need no service: comparisons of models, and what a retrain tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from batch.commands import retrain
from batch.evaluation.comparison import run_experiment
from batch.evaluation.figures import figures_of
from batch.metrics import bootstrap
from batch.text_encoders import SentenceEncoder
from benchmarks.shapes import SHAPES, Shape, draw
from recsys.model.inputs import Floats
from tests.doubles.two_subjects import QUICK, RULE, draw_courses, draw_events, half_bad

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Subjects:
    """A sentence-transformers model that knows two subjects."""

    def encode(self, texts: Sequence[str], *, normalize_embeddings: bool) -> Floats:
        assert normalize_embeddings
        return np.array([[text.startswith("kafka"), text.startswith("cooking"), 0.0] for text in texts], np.float32)


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


def test_the_same_seed_gives_the_same_figures_and_the_same_model() -> None:
    settings = replace(QUICK, epochs=3)
    one, other = (run_experiment(draw_events(), draw_courses(), settings, RULE) for _ in range(2))
    assert figures_of(one) == figures_of(other)
    assert one.model.arrays.keys() == other.model.arrays.keys()
    for name, array in one.model.arrays.items():
        np.testing.assert_allclose(other.model.arrays[name], array, atol=1e-5, err_msg=name)


def test_a_hybrid_whose_texts_a_transformer_reads_is_compared_with_one_of_tfidf() -> None:
    """And with one of another seed."""
    encoder = SentenceEncoder(Subjects(), "subjects")
    experiment = run_experiment(draw_events(), draw_courses(), QUICK, RULE, seeds=2, encoder=encoder)
    assert [len(values) for values in experiment.seeds.values()] == [len(experiment.cases)] * 2
    assert list(experiment.seeds) == [QUICK.seed, QUICK.seed + 1]
    assert experiment.seeds[QUICK.seed].tolist() == experiment.hybrid.per_user["ndcg@10"].tolist()
    found = figures_of(experiment)
    assert found["text_encoder"] == "subjects"
    (other,) = found["alternatives"]
    assert other == "hybrid with TF-IDF"
    assert {"ndcg@10", "recall@20_cold_courses"} == set(found["alternatives"][other])
    with_tfidf = experiment.alternatives[other].per_user["ndcg@10"]
    compared = found["alternatives"][other]["ndcg@10"]
    assert compared["learners"] == len(experiment.cases)
    assert compared["hybrid"]["mean"] == pytest.approx(experiment.hybrid.mean("ndcg@10"))
    assert compared["other"] == pytest.approx(bootstrap(with_tfidf, seed=QUICK.seed)._asdict())
    difference = compared["hybrid_minus_other"]
    assert difference["mean"] == pytest.approx(compared["hybrid"]["mean"] - compared["other"]["mean"])
    assert difference["low"] <= difference["mean"] <= difference["high"]


def test_retrain_tells_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = draw_events()
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RECSYS_REPORTS_DIR", str(tmp_path / "reports"))
    arguments = [*half_bad(events, draw_courses(), tmp_path), "--no-publish", "--json"]
    shown = CliRunner().invoke(retrain, arguments, obj=QUICK, catch_exceptions=False)
    assert "WARNING: 67% of the history was left out" in shown.stderr
    summary = json.loads(shown.stdout)
    assert summary["history"]["refused"] == {"unknown_type": len(events) // 2}
    report = (Path(summary["report"]) / "report.md").read_text().splitlines()
    assert report[0] == summary["headline"]
    assert any(line.startswith("- WARNING: 67%") for line in report[:8])
