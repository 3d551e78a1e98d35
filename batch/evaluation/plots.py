"""The plots of an evaluation report."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display, whatever the environment says; before pyplot is imported

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from batch.evaluation.experiment import Experiment
from batch.evaluation.metrics import bootstrap

_METRICS = ("ndcg@10", "recall@10", "mrr")


def draw_plots(experiment: Experiment, folder: Path) -> None:
    """Draws `metrics.png`, `training.png`, `popularity.png` and `cutoffs.png` into the folder."""
    sns.set_theme(style="whitegrid")
    plots = {"metrics": _metrics, "training": _training, "popularity": _popularity, "cutoffs": _cutoffs}
    for name, draw in plots.items():
        figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
        draw(experiment, axes)
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)


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


def _training(experiment: Experiment, axes: Axes) -> None:
    axes.plot(range(1, len(experiment.curve) + 1), experiment.curve, marker="o")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title("Training of the towers")


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
