"""The plots of an evaluation report, each as a `data:` address that a page holds in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import UTC, datetime

import matplotlib as mpl

mpl.use("Agg")  # no display, whatever the environment says; before pyplot is imported

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from batch.evaluation.diagnosis import CONTEXT_COURSES, Diagnosis
from batch.evaluation.experiment import Experiment
from batch.evaluation.labels import named
from batch.metrics import bootstrap
from recsys.engagement import MS_PER_DAY
from recsys.model.signals import SIGNALS

_METRICS = ("ndcg@10", "recall@10", "mrr")
_SIZE = (9.0, 4.5)
_TALL = (9.0, 6.5)
_DPI = 130
_BAR_SPACE = 0.84
_DARK = 0.6
"""From this share of the darkest colour on, what is written in a cell is white."""


def draw_plots(experiment: Experiment, diagnosis: Diagnosis) -> dict[str, str]:
    """Title → `data:image/png;base64,…`, in the order of the page."""
    sns.set_theme(style="whitegrid")
    plots = {
        "Metrics of learners with a history": _one(experiment, _metrics),
        "Learning curves": _training(experiment),
        "What each part carries": _parts(diagnosis),
        "Learned weights by how many courses a learner has": _weights(diagnosis),
        "Calibration": _calibration(diagnosis),
        "Coverage and novelty of the first ten": _one(experiment, _popularity),
        "Events and engagement before the test side": _distributions(experiment),
        "Where the history is cut": _one(experiment, _cutoffs, (9.0, 1.7)),
    }
    return {title: _address(figure) for title, figure in plots.items()}


def _address(figure: Figure) -> str:
    png = io.BytesIO()
    engine = figure.get_layout_engine()
    if engine is not None:  # once: `savefig` would lay out twice, which takes longer than drawing
        engine.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=_DPI)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def _one(experiment: Experiment, draw: Callable[[Experiment, Axes], None], size: tuple[float, float] = _SIZE) -> Figure:
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    draw(experiment, axes)
    return figure


def _metrics(experiment: Experiment, axes: Axes) -> None:
    """Bars with 95 % bootstrap intervals."""
    results = {"hybrid": experiment.hybrid, **experiment.baselines}
    width = _BAR_SPACE / len(results)
    for group, (name, result) in enumerate(results.items()):
        intervals = [bootstrap(result.per_user[metric], seed=experiment.hyperparameters.seed) for metric in _METRICS]
        means = [interval.mean for interval in intervals]
        below = [interval.mean - interval.low for interval in intervals]
        above = [interval.high - interval.mean for interval in intervals]
        places = [metric + (group - (len(results) - 1) / 2) * width for metric in range(len(_METRICS))]
        axes.bar(places, means, width=width * 0.92, yerr=[below, above], capsize=2, label=named(name))
    axes.set_xticks(range(len(_METRICS)), [named(metric) for metric in _METRICS])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("mean, 0 to 1")
    axes.set_title(f"{len(experiment.cases):,} learners, 95 % bootstrap intervals")
    _legend_beside(axes)


def _legend_beside(axes: Axes) -> None:
    """Right of the plot, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _training(experiment: Experiment) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=_SIZE, layout="constrained")
    curves = (
        (left, experiment.fitted.curve, "Towers: cross-entropy of an example, nats"),
        (right, experiment.fitted.mixer_curve, "Mixer: 0.3 cross-entropy − 2 smooth NDCG"),
    )
    for axes, curve, title in curves:
        axes.plot(range(1, len(curve) + 1), curve, marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss, mean of the epoch")
        axes.set_title(title, fontsize="medium")
    return figure


def _parts(diagnosis: Diagnosis) -> Figure:
    """NDCG@10 with something switched off."""
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    parts = list(reversed(diagnosis.parts))
    means = [part.ndcg.mean for part in parts]
    below = [part.ndcg.mean - part.ndcg.low for part in parts]
    above = [part.ndcg.high - part.ndcg.mean for part in parts]
    axes.barh([part.name for part in parts], means, xerr=[below, above], capsize=2)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("NDCG@10 with 95 % interval")
    return figure


def _weights(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=_TALL, layout="constrained")
    table = pd.DataFrame(diagnosis.weights, index=CONTEXT_COURSES).T
    most = max(float(table.abs().to_numpy().max()), 1e-9)
    image = axes.imshow(table, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    figure.colorbar(image, ax=axes, label="weight of a standardised input")
    axes.set_xticks(range(len(table.columns)), [str(courses) for courses in table.columns])
    names = [f"signal {named(name)}" if name in SIGNALS else named(name) for name in table.index]
    axes.set_yticks(range(len(table)), names, fontsize=9)
    axes.set_xlabel("courses the learner has engaged with")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        colour = "white" if abs(value) > _DARK * most else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    return figure


def _calibration(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    found = diagnosis.calibration
    some = found.observed > 0
    axes.loglog(found.predicted[some], found.observed[some], marker="o", label="hybrid")
    ends = [float(found.predicted.min()), float(found.predicted.max())]
    axes.loglog(ends, ends, linestyle="--", color="grey", label="calibrated")
    axes.set_xlabel("share of a learner's new likes that a course is predicted (softmax of the scores)")
    axes.set_ylabel("share observed, mean of the bin")
    axes.set_title(f"share of the likes in another bin than predicted: {found.error:.0%}")
    axes.legend()
    return figure


def _distributions(experiment: Experiment) -> Figure:
    """Event types of both sides; of the training side events a learner and a course, engagement at its end."""
    figure, axes = plt.subplots(2, 2, figsize=_TALL, layout="constrained")
    encoded = experiment.encoded
    types = dict(reversed(list(experiment.event_types.items())))
    axes[0, 0].barh(list(types), list(types.values()))
    axes[0, 0].grid(visible=False, axis="y")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[0, 0].set_xlabel("events, test side included")
    axes[0, 0].set_title("Events by type")
    for place, rows, whose in ((axes[0, 1], encoded.user, "learners"), (axes[1, 0], encoded.course, "courses")):
        counts = np.bincount(rows)
        _histogram(place, counts[counts > 0], "events", whose)
    age = (encoded.time[-1] - encoded.time) / (experiment.half_life_days * MS_PER_DAY)
    pair = encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course
    sums = np.bincount(np.unique(pair, return_inverse=True)[1], encoded.weight * np.exp2(-age))
    engagement = np.maximum(sums[sums > 0], 1e-3)
    _histogram(axes[1, 1], engagement, "engagement", "learner–course pairs")
    return figure


def _histogram(axes: Axes, values: np.ndarray, what: str, whose: str) -> None:
    axes.set_title(f"{whose.capitalize()} by {what}")
    axes.set_xlabel(f"{what}, log scale")
    axes.set_ylabel(whose)
    if len(values):
        axes.hist(values, bins=np.geomspace(values.min(), values.max() * 1.01 + 1e-9, 30).tolist())
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _popularity(experiment: Experiment, axes: Axes) -> None:
    """How much of the catalogue is shown, against how known it is."""
    results = {"hybrid": experiment.hybrid, **experiment.baselines}
    across, up = "coverage, share of the catalogue", "novelty, bits (more: touched by fewer)"
    points = pd.DataFrame(
        [
            (named(name), result.overall["coverage@10"], result.overall["novelty@10"])
            for name, result in results.items()
        ],
        columns=["model", across, up],
    )
    sns.scatterplot(points, x=across, y=up, hue="model", style="model", s=120, ax=axes)
    _legend_beside(axes)


def _cutoffs(experiment: Experiment, axes: Axes) -> None:
    first, validation, test, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in experiment.times)
    for start, end, name in ((first, validation, "training"), (validation, test, "validation"), (test, last, "test")):
        axes.barh([""], [end - start], left=[start], label=f"{name} from {start:%Y-%m-%d}")  # type: ignore[arg-type]  # dates are what matplotlib converts
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("time, UTC; an event at a cut-off is on the later side")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
