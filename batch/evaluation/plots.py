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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from batch.evaluation.diagnosis import CONTEXT_COURSES, Diagnosis
from batch.evaluation.experiment import HYBRID, Experiment
from batch.evaluation.labels import named
from batch.metrics import Interval, bootstrap
from recsys.engagement import MS_PER_DAY
from recsys.model.signals import SIGNALS

_METRICS = ("ndcg@10", "recall@10", "mrr")
_SIZE = (9.0, 4.5)
_TALL = (9.0, 7.5)
_DPI = 130
_MARKERS = ("o", "X", "s", "P", "D", "^", "v", "<")
"""Told apart without their colours; filled, so that all are as large."""

_FEWEST_ROWS = 4
"""As many bars a panel has room for at least, so that one alone does not fill it."""

_LOWEST_ENGAGEMENT = 1e-3
_BINS = 30
_DARK = 0.6
"""From this share of the darkest colour on, what is written in a cell is white."""


def draw_plots(experiment: Experiment, diagnosis: Diagnosis) -> dict[str, str]:
    """Name → `data:image/png;base64,…`; the names are those of the page's template."""
    sns.set_theme(style="whitegrid", palette="colorblind")
    plots = {
        "cuts": _one(experiment, _cutoffs, (9.0, 1.7)),
        "metrics": _metrics(experiment),
        "lists": _one(experiment, _popularity),
        "ablations": _parts(diagnosis),
        "weights": _weights(diagnosis),
        "calibration": _calibration(diagnosis),
        "curves": _training(experiment),
        "distributions": _distributions(experiment),
    }
    return {name: _address(figure) for name, figure in plots.items()}


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


def _metrics(experiment: Experiment) -> Figure:
    """Means with 95 % bootstrap intervals, a panel for each metric and a row for each model."""
    results = {HYBRID: experiment.hybrid, **experiment.baselines}
    rows = np.arange(len(results))[::-1]
    layout = ConstrainedLayoutEngine(w_pad=0.1)
    figure, panels = plt.subplots(1, len(_METRICS), sharey=True, figsize=_SIZE, layout=layout)
    for axes, metric in zip(panels, _METRICS, strict=True):
        intervals = [
            bootstrap(result.per_user[metric], seed=experiment.hyperparameters.seed) for result in results.values()
        ]
        for row, interval in zip(rows, intervals, strict=True):
            _interval(axes, interval, row, of_hybrid=row == rows[0])
        axes.set_xlim(left=0.0)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlabel(f"{named(metric)}, 0 to 1")
    panels[0].set_yticks(rows, [named(name) for name in results])
    figure.suptitle(f"{len(experiment.cases):,} learners with a history, 95 % bootstrap intervals", fontsize="medium")
    return figure


def _interval(axes: Axes, interval: Interval, row: float, *, of_hybrid: bool) -> None:
    """A mean as a mark, with its interval as a line."""
    below, above = interval.mean - interval.low, interval.high - interval.mean
    colour, mark = ("C3", "s") if of_hybrid else ("C0", "o")
    axes.errorbar(interval.mean, row, xerr=[[below], [above]], fmt=mark, color=colour, capsize=3)


def _legend_beside(axes: Axes) -> None:
    """Right of the plot, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _training(experiment: Experiment) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=_SIZE, layout=ConstrainedLayoutEngine(w_pad=0.12))
    curves = (
        (left, experiment.fitted.curve, "Towers", "cross-entropy of an example, nats"),
        (right, experiment.fitted.mixer_curve, "Mixer", "0.3 cross-entropy (nats) − 2 smooth NDCG"),
    )
    for axes, curve, title, loss in curves:
        axes.plot(range(1, len(curve) + 1), curve, marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(loss)
        axes.set_title(f"{title}: loss, mean of the epoch", fontsize="medium")
    return figure


def _parts(diagnosis: Diagnosis) -> Figure:
    """What NDCG@10 loses with something switched off."""
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    parts = diagnosis.parts[1:]
    rows = range(len(parts), 0, -1)
    for row, part in zip(rows, parts, strict=True):
        _interval(axes, part.difference, row, of_hybrid=False)
    axes.axvline(0.0, color="black", linewidth=1)
    axes.set_yticks(rows, [part.name for part in parts])
    axes.set_xlabel("NDCG@10 lost: everything minus this, with 95 % interval, paired by learner")
    return figure


def _weights(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=_TALL, layout="constrained")
    table = pd.DataFrame(diagnosis.weights, index=CONTEXT_COURSES).T
    most = max(float(table.abs().to_numpy().max()), 1e-9)
    image = axes.imshow(table, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    figure.colorbar(image, ax=axes, label="weight of a standardised input")
    axes.set_xticks(range(len(table.columns)), [str(courses) for courses in table.columns])
    names = [f"signal {named(name)}" if name in SIGNALS else named(name) for name in table.index]
    axes.set_yticks(range(len(table)), names, fontsize=10)
    axes.set_xlabel("courses the learner has engaged with")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        colour = "white" if abs(value) > _DARK * most else "black"
        axes.text(column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", fontsize=10, color=colour)
    return figure


def _calibration(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    found = diagnosis.calibration
    some = found.observed > 0
    axes.loglog(found.predicted[some], found.observed[some], marker="o", label="hybrid")
    for predicted, observed, pairs in zip(
        found.predicted[some], found.observed[some], found.courses[some], strict=True
    ):
        place = (predicted, observed)
        axes.annotate(short(pairs), place, xytext=(5, -11), textcoords="offset points", fontsize=10)
    axes.margins(y=0.12)
    ends = [float(found.predicted.min()), float(found.predicted.max())]
    axes.loglog(ends, ends, linestyle="--", color="grey", label="calibrated")
    axes.set_xlabel("share of a learner's new likes that a course is predicted (softmax of the scores)")
    axes.set_ylabel("share observed, mean of the bin")
    axes.legend()
    return figure


def short(number: float) -> str:
    """A count in at most four characters, such as 12, 3k or 1.2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.0f}{unit}" if number >= 10 * size else f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def _distributions(experiment: Experiment) -> Figure:
    """Event types of both sides; of the training side events a learner and a course, engagement at its end."""
    figure, axes = plt.subplots(2, 2, figsize=_TALL, layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08))
    encoded = experiment.encoded
    types = dict(reversed(list(experiment.event_types.items())))
    axes[0, 0].barh(list(types), list(types.values()))
    axes[0, 0].tick_params(axis="y", labelsize=10)
    middle, half = (len(types) - 1) / 2, max(len(types), _FEWEST_ROWS) / 2
    axes[0, 0].set_ylim(middle - half, middle + half)
    axes[0, 0].grid(visible=False, axis="y")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[0, 0].set_xlabel("events, test side included")
    axes[0, 0].set_title("Events by type")
    for place, rows, whose in ((axes[0, 1], encoded.user, "learners"), (axes[1, 0], encoded.course, "courses")):
        counts = np.bincount(rows)
        _histogram(place, counts[counts > 0], "events", whose, whole_bins)
    age = (encoded.time[-1] - encoded.time) / (experiment.half_life_days * MS_PER_DAY)
    pair = encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course
    sums = np.bincount(np.unique(pair, return_inverse=True)[1], encoded.weight * np.exp2(-age))
    engagement = np.maximum(sums[sums > 0], _LOWEST_ENGAGEMENT)
    _histogram(axes[1, 1], engagement, "engagement", "learner–course pairs", _even_bins)
    return figure


def whole_bins(values: np.ndarray) -> np.ndarray:
    """Edges between counts, at whole numbers and never nearer: narrower bins would be gaps where no count can be."""
    edges, ratio = [1.0], (values.max() + 1.0) ** (1 / _BINS)
    while edges[-1] <= values.max():
        edges.append(max(edges[-1] + 1.0, np.floor(edges[-1] * ratio)))
    return np.array(edges)


def _even_bins(values: np.ndarray) -> np.ndarray:
    return np.geomspace(values.min(), values.max() * 1.01 + 1e-9, _BINS + 1)


def _histogram(axes: Axes, values: np.ndarray, what: str, whose: str, bins: Callable[[np.ndarray], np.ndarray]) -> None:
    axes.set_title(f"{whose.capitalize()} by {what}")
    axes.set_xlabel(f"{what}, log scale")
    axes.set_ylabel(whose)
    if len(values):
        axes.hist(values, bins=bins(values).tolist())
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _popularity(experiment: Experiment, axes: Axes) -> None:
    """How much of the catalogue is shown, against how known it is."""
    results = {HYBRID: experiment.hybrid, **experiment.baselines}
    across, up = "coverage, share of the catalogue", "novelty, bits (more: touched by fewer)"
    points = pd.DataFrame(
        [
            (named(name), result.overall["coverage@10"], result.overall["novelty@10"])
            for name, result in results.items()
        ],
        columns=["model", across, up],
    )
    sns.scatterplot(
        points, x=across, y=up, hue="model", style="model", markers=list(_MARKERS), s=140, edgecolor="0.2", ax=axes
    )
    _legend_beside(axes)


def _cutoffs(experiment: Experiment, axes: Axes) -> None:
    first, validation, test, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in experiment.times)
    for start, end, name in ((first, validation, "training"), (validation, test, "validation"), (test, last, "test")):
        axes.barh([""], [end - start], left=[start], label=f"{name} from {start:%Y-%m-%d}")  # type: ignore[arg-type]  # dates are what matplotlib converts
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
    axes.margins(x=0.0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("time, UTC; an event at a cut-off is on the later side")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
