"""Running figures over two windows, gains over popularity, drift, and how Prometheus sees them."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from stream.monitor.figures import CACHED, HOUR_MS, MODEL, POPULARITY, Drift, Figures, Score
from stream.monitor.metrics import OUTCOMES, MonitorMetrics

HIT, MISS = Score(1.0, 1.0), Score(0.0, 0.0)


def vector(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_the_hour_forgets_faster_than_the_day() -> None:
    figures = Figures()
    figures.add({MODEL: HIT}, 0)
    figures.add({MODEL: MISS}, HOUR_MS)
    assert figures.mean(MODEL, "hit", "hour") == pytest.approx(1 / 3)
    assert figures.mean(MODEL, "hit", "day") == pytest.approx(0.4928, abs=1e-3)
    assert figures.trials(MODEL, "hour", 2 * HOUR_MS) == pytest.approx(0.75)


def test_a_list_that_was_not_judged_is_left_out_of_its_own_figures_only() -> None:
    figures = Figures()
    figures.add({MODEL: HIT, POPULARITY: MISS}, 0)
    figures.add({MODEL: MISS, POPULARITY: MISS, CACHED: HIT}, 0)
    assert (figures.mean(CACHED, "ndcg", "hour"), figures.mean(MODEL, "ndcg", "hour")) == (1.0, 0.5)
    assert figures.mean(CACHED, "gain", "day") == 1.0
    assert isnan(figures.mean("nothing", "hit", "hour"))
    assert figures.gain_interval(CACHED, "day") == (-inf, inf)


def test_a_gain_that_is_always_the_same_is_sure() -> None:
    figures = Figures()
    for _ in range(40):
        figures.add({MODEL: HIT, POPULARITY: Score(1.0, 0.5)}, 0)
    assert figures.gain_interval(MODEL, "hour") == pytest.approx((0.5, 0.5))


def test_drift_is_the_hour_against_the_day_and_begins_anew_with_a_version() -> None:
    drift = Drift()
    for at in range(24):
        drift.add("v1", [1.0 + at % 2], vector(1.0, 0.0), at * HOUR_MS)
    assert abs(drift.score_shift) < 0.5
    assert drift.embedding_shift == pytest.approx(0.0)
    for at in range(24, 27):
        drift.add("v1", [9.0], vector(0.0, 1.0), at * HOUR_MS)
    assert drift.score_shift > 1.0
    assert drift.embedding_shift > 0.2
    drift.add("v2", [9.0], vector(0.0, 1.0), 28 * HOUR_MS)
    assert drift.score_shift == 0.0
    assert drift.embedding_shift == pytest.approx(0.0)


def test_a_model_without_vectors_or_lists_shows_no_shift() -> None:
    drift = Drift()
    drift.add("v1", [], None, 0)
    assert (drift.score_shift, drift.embedding_shift) == (0.0, 0.0)


def test_prometheus_sees_the_figures_as_they_are_when_it_asks() -> None:
    figures, drift, registry = Figures(), Drift(), CollectorRegistry()
    metrics = MonitorMetrics(figures, drift, now_ms=lambda: HOUR_MS, registry=registry)
    figures.add({MODEL: HIT, POPULARITY: MISS}, 0)
    figures.add({MODEL: HIT, POPULARITY: MISS}, 0)
    metrics.count("judged")
    of_model = {"list": MODEL, "window": "hour"}
    assert registry.get_sample_value("recsys_prequential_hit_rate", of_model) == 1.0
    assert registry.get_sample_value("recsys_prequential_trials", of_model) == 1.0
    for bound in ("mean", "low", "high"):
        assert registry.get_sample_value("recsys_prequential_gain", {**of_model, "bound": bound}) == 1.0
    counted = [registry.get_sample_value("recsys_prequential_events_total", {"outcome": each}) for each in OUTCOMES]
    assert counted == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert registry.get_sample_value("recsys_drift_score_shift") == 0.0
