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
from matplotlib.figure import Figure

from batch.evaluation.diagnosis import CONTEXT_COURSES, Diagnosis
from batch.evaluation.experiment import Experiment
from batch.evaluation.metrics import bootstrap
from recsys.engagement import MS_PER_DAY

_METRICS = ("ndcg@10", "recall@10", "mrr")
_SIZE = (9.0, 4.5)


def draw_plots(experiment: Experiment, diagnosis: Diagnosis) -> dict[str, str]:
    """Title → `data:image/png;base64,…`, in the order of the page."""
    sns.set_theme(style="whitegrid")
    plots = {
        "Metrics": _one(experiment, _metrics),
        "Learning curves": _training(experiment),
        "What each part carries": _parts(diagnosis),
        "Learned weights by how many courses a learner has": _weights(diagnosis),
        "Calibration": _calibration(diagnosis),
        "Coverage and novelty": _one(experiment, _popularity),
        "Events and engagement": _distributions(experiment),
        "Cut-offs": _one(experiment, _cutoffs),
    }
    return {title: _address(figure) for title, figure in plots.items()}


def _address(figure: Figure) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def _one(experiment: Experiment, draw: Callable[[Experiment, Axes], None]) -> Figure:
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    draw(experiment, axes)
    return figure


def _metrics(experiment: Experiment, axes: Axes) -> None:
    """Bars with 95 % bootstrap intervals."""
    results = {"hybrid": experiment.hybrid, **experiment.baselines}
    for group, (name, result) in enumerate(results.items()):
        intervals = [bootstrap(result.per_user[metric], seed=experiment.hyperparameters.seed) for metric in _METRICS]
        means = [interval.mean for interval in intervals]
        below = [interval.mean - interval.low for interval in intervals]
        above = [interval.high - interval.mean for interval in intervals]
        places = [metric + (group - len(results) / 2) * 0.13 for metric in range(len(_METRICS))]
        axes.bar(places, means, width=0.12, yerr=[below, above], capsize=2, label=name)
    axes.set_xticks(range(len(_METRICS)), _METRICS)
    axes.set_title(f"{len(experiment.cases)} learners, bootstrap 95 % intervals")
    axes.legend()


def _training(experiment: Experiment) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=_SIZE, layout="constrained")
    curves = ((left, experiment.curve, "Towers"), (right, experiment.mixer_curve, "Mixer"))
    for axes, curve, name in curves:
        axes.plot(range(1, len(curve) + 1), curve, marker="o")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.set_title(name)
    return figure


def _parts(diagnosis: Diagnosis) -> Figure:
    """NDCG@10 with something switched off."""
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    parts = list(reversed(diagnosis.parts))
    means = [part.ndcg.mean for part in parts]
    below = [part.ndcg.mean - part.ndcg.low for part in parts]
    above = [part.ndcg.high - part.ndcg.mean for part in parts]
    axes.barh([part.name for part in parts], means, xerr=[below, above], capsize=2)
    axes.set_xlabel("NDCG@10, 95 % interval")
    return figure


def _weights(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=(9.0, 6.5), layout="constrained")
    table = pd.DataFrame(diagnosis.weights, index=CONTEXT_COURSES).T
    most = float(table.abs().to_numpy().max())
    axes.imshow(table, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(table.columns)), [str(courses) for courses in table.columns])
    axes.set_yticks(range(len(table)), table.index.to_list(), fontsize=8)
    axes.set_xlabel("courses of the learner")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7)
    return figure


def _calibration(diagnosis: Diagnosis) -> Figure:
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    found = diagnosis.calibration
    some = found.observed > 0
    axes.loglog(found.predicted[some], found.observed[some], marker="o", label="hybrid")
    ends = [float(found.predicted.min()), float(found.predicted.max())]
    axes.loglog(ends, ends, linestyle="--", color="grey", label="calibrated")
    axes.set_xlabel("predicted share of a learner's new likes")
    axes.set_ylabel("observed share")
    axes.set_title(f"mass in the wrong bin: {found.error:.0%}")
    axes.legend()
    return figure


def _distributions(experiment: Experiment) -> Figure:
    """Of the training side: event types, events a learner and a course, engagement of a pair at the cut-off."""
    figure, axes = plt.subplots(2, 2, figsize=(9.0, 6.5), layout="constrained")
    encoded = experiment.encoded
    types = experiment.event_types
    axes[0, 0].barh(list(types), list(types.values()))
    axes[0, 0].set_title("events by type (both sides)")
    for place, rows, title in (
        (axes[0, 1], encoded.user, "events a learner"),
        (axes[1, 0], encoded.course, "events a course"),
    ):
        counts = np.bincount(rows)
        _histogram(place, counts[counts > 0], title)
    age = (encoded.time[-1] - encoded.time) / (experiment.half_life_days * MS_PER_DAY)
    pair = encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course
    sums = np.bincount(np.unique(pair, return_inverse=True)[1], encoded.weight * np.exp2(-age))
    _histogram(axes[1, 1], np.maximum(sums[sums > 0], 1e-3), "engagement of a pair at the cut-off")
    return figure


def _histogram(axes: Axes, values: np.ndarray, title: str) -> None:
    axes.set_title(title)
    if len(values):
        axes.hist(values, bins=np.geomspace(values.min(), values.max() * 1.01 + 1e-9, 30).tolist())
        axes.set_xscale("log")
        axes.set_yscale("log")


def _popularity(experiment: Experiment, axes: Axes) -> None:
    """How much of the catalogue is shown, against how known it is."""
    results = {"hybrid": experiment.hybrid, **experiment.baselines}
    points = pd.DataFrame(
        [(name, result.overall["coverage@10"], result.overall["novelty@10"]) for name, result in results.items()],
        columns=["model", "coverage@10", "novelty@10 (bits)"],
    )
    sns.scatterplot(points, x="coverage@10", y="novelty@10 (bits)", hue="model", style="model", s=120, ax=axes)
    axes.set_title("Coverage and novelty of the first 10")


def _cutoffs(experiment: Experiment, axes: Axes) -> None:
    first, validation, test, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in experiment.times)
    for start, end, name in ((first, validation, "train"), (validation, test, "validation"), (test, last, "test")):
        axes.barh(["events"], [end - start], left=[start], label=f"{name} from {start:%Y-%m-%d}")  # type: ignore[arg-type]  # dates are what matplotlib converts
    axes.set_title("One cut-off for everybody, half-open")
    axes.legend(loc="lower center", ncols=3)
