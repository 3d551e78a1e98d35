"""Means of trials with their intervals, as tables and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.prequential.methods import DELAYS_MS, NIGHTLY
from recsys.prequential import TOP

RESAMPLES = 500
MEASURES = {"hit_rate": f"hit rate@{TOP}", "ndcg": f"NDCG@{TOP}"}


class Figure(NamedTuple):
    """A mean over trials with its 95 % interval."""

    mean: float
    low: float
    high: float


def figure(values: Sequence[float], learners: NDArray[np.intp], rng: np.random.Generator) -> Figure:
    """The mean, and its interval by resampling learners with all their trials."""
    count = int(learners.max()) + 1
    sums, trials = np.bincount(learners, values, count), np.bincount(learners, minlength=count)
    drawn = rng.integers(0, count, (RESAMPLES, count))
    means = sums[drawn].sum(axis=1) / np.maximum(trials[drawn].sum(axis=1), 1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Figure(float(np.mean(values)), float(low), float(high))


def table(name: str, result: Mapping[str, Any], measure: str) -> Table:
    """The figures of one set: a row a method, a column a delay."""
    title = f"{name}: {MEASURES[measure]} of {result['trials']} events of {result['learners']} learners"
    made = Table(title=title)
    made.add_column("method")
    for delay in DELAYS_MS:
        made.add_column(delay, justify="right")
    for method, by_delay in result["methods"].items():
        cells = [by_delay.get(delay, by_delay.get(NIGHTLY)) for delay in DELAYS_MS]
        shown = [
            f"{cell[measure]['mean']:.3f} ({cell[measure]['low']:.3f} … {cell[measure]['high']:.3f})" for cell in cells
        ]
        made.add_row(method, *(shown[:1] if method == NIGHTLY else shown))
    return made


def differences(name: str, result: Mapping[str, Any], measure: str) -> Table:
    """What each step adds to the one before it, paired by event."""
    made = Table(title=f"{name}: {MEASURES[measure]}, gained over the step before, paired by event")
    made.add_column("step")
    for delay in DELAYS_MS:
        made.add_column(delay, justify="right")
    for step, by_delay in result["steps"].items():
        cells = [by_delay[delay][measure] for delay in DELAYS_MS]
        made.add_row(step, *(f"{each['mean']:+.4f} ({each['low']:+.4f} … {each['high']:+.4f})" for each in cells))
    return made


def plot(results: Mapping[str, Any], path: Path) -> None:
    """A panel for each set and measure; the nightly lists as a band."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - only for the plot

    canvas = Canvas(figsize=(11, 3.4 * len(results)), layout="constrained")
    panels = canvas.subplots(len(results), 2, squeeze=False)
    delays = list(DELAYS_MS)
    for row, (name, result) in enumerate(results.items()):
        for panel, measure in zip(panels[row], MEASURES, strict=True):
            for number, (method, by_delay) in enumerate(result["methods"].items()):
                cells = [by_delay.get(delay, by_delay.get(NIGHTLY))[measure] for delay in delays]
                means, lows, highs = ([cell[key] for cell in cells] for key in ("mean", "low", "high"))
                if method == NIGHTLY:
                    panel.axhline(means[0], color="grey", linestyle="--", label=method)
                    panel.axhspan(lows[0], highs[0], color="grey", alpha=0.15)
                    continue
                error = [np.subtract(means, lows), np.subtract(highs, means)]
                places = np.arange(len(delays)) + 0.06 * number
                panel.errorbar(places, means, yerr=error, marker="o", capsize=2, label=method)
            panel.set(title=f"{name}: {MEASURES[measure]}", xlabel="events become visible after", ylim=(0, None))
            panel.set_xticks(range(len(delays)), delays)
    canvas.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    canvas.savefig(path, dpi=150)
