"""The figures of a comparison as JSON values, with intervals: what the report, the manifest and `--json` say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from batch.evaluation.evaluate import Evaluation
from batch.evaluation.experiment import HYBRID, Experiment
from batch.evaluation.tuning import METRIC, RECENT_POPULARITY
from batch.metrics import bootstrap, paired_bootstrap
from recsys.model.inputs import Doubles


def figures_of(experiment: Experiment) -> dict[str, Any]:
    """All figures as JSON values: the form of `recsys evaluate --json`."""
    seed = experiment.hyperparameters.seed
    return {
        "hybrid": experiment.hybrid.summary(seed=seed),
        "baselines": {name: result.summary(seed=seed) for name, result in experiment.baselines.items()},
        "users": len(experiment.cases),
        "users_found": experiment.found,
        "courses_offered": int(experiment.facts.offered.sum()),
        "excluded": str(experiment.exclusion),
        "best_baseline": experiment.best_baseline(),
        "hybrid_minus_best_baseline": experiment.difference()._asdict(),
        "hybrid_minus": {name: experiment.difference(name)._asdict() for name in experiment.baselines},
        "seeds": _seeds(experiment),
        "text_encoder": experiment.encoder.name,
        "alternatives": {name: _beside(experiment, result) for name, result in experiment.alternatives.items()},
        "cold_users": _cold(experiment),
        "options": {name: dict(options) for name, options in experiment.tuned.options.items()},
        "blend_weights": dict(experiment.tuned.weights),
        "tuning": experiment.tuned.budget(),
        "curve": [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(experiment.fitted.curve, start=1)],
        "penalties": {f"{l2:g}": value for l2, value in experiment.fitted.penalties.items()},
        "lists": experiment.fitted.lists,
        "event_types": dict(experiment.event_types),
        "head_share_liked": _head_share_liked(experiment),
        "mixer_curve": list(experiment.fitted.mixer_curve),
        "segments": _segments(experiment),
        "leakage": [asdict(check) for check in experiment.checks],
        "times_ms": dict(zip(("first", "validation_cutoff", "test_cutoff", "last"), experiment.times, strict=True)),
    }


def _head_share_liked(experiment: Experiment) -> float:
    """Share of the head in what the learners of the test side took: what `head_share@10` of lists compares with."""
    liked = np.concatenate([case.relevant for case in experiment.cases])
    return float(experiment.facts.head[liked].mean())


def _segments(experiment: Experiment) -> dict[str, Any]:
    """Segment → its metric, how many learners it has, and each model's figure with its interval.

    NDCG@10 of all learners, of those with and without a history; recall@20 of what learners with a history took
    among the head, the tail and the courses that training does not know.
    """
    warm = {HYBRID: experiment.hybrid, **experiment.baselines}
    nobody = np.zeros(0)
    values = {
        "all learners": (
            METRIC,
            {
                n: np.concatenate([r.per_user[METRIC], experiment.cold[n].per_user.get(METRIC, nobody)])
                for n, r in warm.items()
            },
        ),
        "learners with a history": (METRIC, {name: result.per_user[METRIC] for name, result in warm.items()}),
        "learners without": (METRIC, {name: r.per_user.get(METRIC, nobody) for name, r in experiment.cold.items()}),
    }
    for segment in ("head", "tail", "cold_courses"):
        metric = f"recall@20_{segment}"
        values[segment.replace("_", " ")] = (metric, {name: r.per_user[metric] for name, r in warm.items()})
    return {segment: _segment(experiment, metric, models) for segment, (metric, models) in values.items()}


def _segment(experiment: Experiment, metric: str, models: Mapping[str, Doubles]) -> dict[str, Any]:
    known = ~np.isnan(models[HYBRID])
    seed = experiment.hyperparameters.seed
    shown = {name: bootstrap(values[known], seed=seed)._asdict() for name, values in models.items()}
    return {"metric": metric.partition("_")[0], "learners": int(known.sum()), "models": shown}


def _seeds(experiment: Experiment) -> dict[str, Any]:
    """NDCG@10 of each seed, and of all together: a learner's value is then the mean over the seeds."""
    values = np.stack(list(experiment.seeds.values()))
    best = experiment.baselines[experiment.best_baseline()].per_user[METRIC]
    difference = paired_bootstrap(values.mean(axis=0), best, seed=experiment.hyperparameters.seed)
    return {
        "ndcg@10": {str(seed): float(each.mean()) for seed, each in experiment.seeds.items()},
        "mean": float(values.mean()),
        "deviation": float(values.mean(axis=1).std()),
        "mean_minus_best_baseline": difference._asdict(),
    }


def _beside(experiment: Experiment, other: Evaluation) -> dict[str, Any]:
    """NDCG@10 and recall of cold courses of the hybrid and another, and the difference paired by learner."""
    seed = experiment.hyperparameters.seed
    found = {}
    for metric in (METRIC, "recall@20_cold_courses"):
        mine, theirs = experiment.hybrid.per_user[metric], other.per_user[metric]
        known = ~np.isnan(mine)
        found[metric] = {
            "learners": int(known.sum()),
            "hybrid": bootstrap(mine[known], seed=seed)._asdict(),
            "other": bootstrap(theirs[known], seed=seed)._asdict(),
            "hybrid_minus_other": paired_bootstrap(mine[known], theirs[known], seed=seed)._asdict(),
        }
    return found


def _cold(experiment: Experiment) -> dict[str, Any]:
    """The hybrid on learners without a history, and beside trending."""
    mine, trending = experiment.cold[HYBRID], experiment.cold[RECENT_POPULARITY]
    figures = {name: mine.mean(name) for name in mine.per_user if "_" not in name}
    found = mine.per_user.get(METRIC, np.zeros(0))
    other = trending.per_user.get(METRIC, np.zeros(0))
    difference = paired_bootstrap(found, other, seed=experiment.hyperparameters.seed)
    return {"users": float(len(found)), **figures, "minus_recent_popularity": difference._asdict()}
