"""How two text encoders are compared in words: on the terminal, in report.md and on the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch.evaluation.experiment import Experiment
from batch.evaluation.report import PAGE, write_report
from batch.evaluation.verdict import beside
from batch.text_encoders import SentenceEncoder

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RECALL = "recall@20_cold_courses"


def interval(mean: float, low: float, high: float) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high}


def compared(learners: int) -> dict[str, Any]:
    return {
        "learners": learners,
        "hybrid": interval(0.25, 0.2, 0.3),
        "other": interval(0.2, 0.15, 0.25),
        "hybrid_minus_other": interval(0.05, -0.01, 0.11),
    }


def test_each_metric_has_both_figures_and_the_paired_difference() -> None:
    metrics = {"ndcg@10": compared(1444), RECALL: compared(0)}
    said = beside({"text_encoder": "subjects", "alternatives": {"hybrid with TF-IDF": metrics}})
    expected = (
        "NDCG@10 of the hybrid whose texts subjects reads 0.2500 (0.2000 … 0.3000), of the hybrid with TF-IDF 0.2000 "
        "(0.1500 … 0.2500): +0.0500 (-0.0100 … +0.1100), 95 % intervals, the last one paired by learner (1,444)."
    )
    assert said == [expected]  # nobody took a course without history, so nothing is said of those


def test_report_and_page_say_it(experiment: Experiment, tmp_path: Path) -> None:
    other = {"hybrid with TF-IDF": experiment.baselines["popularity"]}
    read = replace(experiment, encoder=SentenceEncoder(None, "subjects"), alternatives=other)
    folder = write_report(tmp_path, "one", read, {})
    for name in (PAGE, "report.md"):
        assert "NDCG@10 of the hybrid whose texts subjects reads" in (folder / name).read_text(), name


def test_nothing_is_said_where_tfidf_reads_the_texts() -> None:
    assert beside({"text_encoder": "tfidf", "alternatives": {}}) == []
