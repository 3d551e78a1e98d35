"""One comparison: cut in time, tune on a validation slice, fit on the training side, look at the test side once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import CatalogueFacts, Evaluation, evaluate
from batch.evaluation.metrics import Interval, paired_bootstrap
from batch.evaluation.tuning import (
    BASELINES,
    METRIC,
    Options,
    Slice,
    tune_baselines,
)
from batch.features import fit_text, tfidf_matrix
from batch.split import split_at, split_share
from batch.stages import Stage, silent
from batch.train import fit_hybrid, recommender
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.exclusion import Exclusion
from recsys.model.bundle import Draft
from recsys.model.hyperparameters import HyperParameters

TRAIN_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything one comparison found.

    Attributes:
        encoded: The training side.
        model: The hybrid fitted on the training side (not the one to publish).
        hyperparameters: With what the validation slice chose.
        exclusion: What every list leaves out.
        options: Baseline → its chosen options.
        cases: Warm learners of the test side, with something relevant.
        facts: Of the training side.
        hybrid: Figures of the hybrid, aligned with `cases`.
        baselines: Figures of each baseline.
        cold: Figures of the hybrid on learners the training side does not know, and how many they are.
        curve: Mean loss of each epoch of the towers.
        penalties: NDCG@10 of each item-item penalty tried on the end of the training side.
        lists: How many lists of learners the mixer learned from.
        times: First event, validation cut-off, test cut-off, last event; ms since 1970 UTC.
    """

    encoded: EncodedEvents
    model: Draft
    hyperparameters: HyperParameters
    exclusion: Exclusion
    options: dict[str, Options]
    cases: Sequence[Case]
    facts: CatalogueFacts
    hybrid: Evaluation
    baselines: dict[str, Evaluation]
    cold: dict[str, float]
    curve: Sequence[float]
    penalties: Mapping[float, float]
    lists: int
    times: tuple[int, int, int, int]

    def best_baseline(self) -> str:
        """The baseline of highest NDCG@10."""
        return max(self.baselines, key=lambda name: self.baselines[name].mean(METRIC))

    def difference(self) -> Interval:
        """NDCG@10 of the hybrid minus that of the best baseline, paired by learner."""
        other = self.baselines[self.best_baseline()].per_user[METRIC]
        return paired_bootstrap(self.hybrid.per_user[METRIC], other, seed=self.hyperparameters.seed)

    def document(self) -> dict[str, Any]:
        """All figures as JSON values: the form of `recsys evaluate --json`."""
        seed = self.hyperparameters.seed
        return {
            "hybrid": self.hybrid.summary(seed=seed),
            "baselines": {name: result.summary(seed=seed) for name, result in self.baselines.items()},
            "users": len(self.cases),
            "excluded": str(self.exclusion),
            "best_baseline": self.best_baseline(),
            "hybrid_minus_best_baseline": self.difference()._asdict(),
            "cold_users": self.cold,
            "options": {name: dict(options) for name, options in self.options.items()},
            "curve": [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(self.curve, start=1)],
            "penalties": {f"{l2:g}": value for l2, value in self.penalties.items()},
            "lists": self.lists,
            "times_ms": dict(zip(("first", "validation_cutoff", "test_cutoff", "last"), self.times, strict=True)),
        }


def run_experiment(
    events: pd.DataFrame,
    courses: Sequence[Course],
    hyperparameters: HyperParameters,
    rule: EngagementRule,
    *,
    cutoff_ms: int | None = None,
    stage: Stage = silent,
) -> Experiment:
    """Compares the hybrid model with its baselines.

    Args:
        events: Cleaned.
        courses: The catalogue.
        hyperparameters: To start from.
        rule: Of the engagement scores.
        cutoff_ms: Where the test side begins; None: at the event that follows the first `TRAIN_SHARE` of them.
        stage: Shows progress.

    Raises:
        InputError: When the history is too small to cut or to train on, or nobody is left to test on.
    """
    _check_likes(events, courses, rule)
    test = split_share(events, TRAIN_SHARE) if cutoff_ms is None else split_at(events, cutoff_ms)
    validation = split_share(test.before, TRAIN_SHARE)
    inner = _slice(validation.before, validation.after, validation.cutoff_ms, courses, hyperparameters, rule)
    tuned = replace(inner, cases=warm(inner.cases))
    stage("tuning the baselines")
    options = tune_baselines(tuned, seed=hyperparameters.seed)
    outer = _slice(test.before, test.after, test.cutoff_ms, courses, hyperparameters, rule)
    cases = warm(outer.cases)
    if not cases:
        raise InputError(
            f"nobody to test on: no learner of the part before the cut-off ({_day(test.cutoff_ms)}) took something new "
            "after it"
        )
    stage("training on the part before the test")
    fitted = fit_hybrid(outer.encoded, hyperparameters, rule, stage=stage)
    stage("evaluating")
    hybrid = recommender(fitted.draft)
    baselines = {
        name: evaluate(build(outer.encoded, outer.facts.text, options[name]), cases, outer.facts)
        for name, (build, _) in BASELINES.items()
    }
    unknown = [case for case in outer.cases if case.user_row < 0]
    return Experiment(
        encoded=outer.encoded,
        model=fitted.draft,
        hyperparameters=fitted.draft.settings,
        exclusion=rule.exclusion,
        options=options,
        cases=cases,
        facts=outer.facts,
        hybrid=evaluate(hybrid, cases, outer.facts),
        baselines=baselines,
        cold=_cold(evaluate(hybrid, unknown, outer.facts), len(unknown)),
        curve=fitted.curve,
        penalties=fitted.penalties,
        lists=fitted.lists,
        times=(int(events["timestamp"].min()), validation.cutoff_ms, test.cutoff_ms, int(events["timestamp"].max())),
    )


def _check_likes(events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> None:
    if not (encode(events, courses, rule).weight > 0).any():
        types = ", ".join(f"{number} {kind}" for kind, number in events["type"].value_counts().items())
        raise InputError(
            f"nothing to learn from: none of the {len(events)} interactions has a positive weight ({types}); check the "
            "event types, the values of progress and rate, and RECSYS_ENGAGEMENT_WEIGHTS"
        )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _slice(
    before: pd.DataFrame,
    after: pd.DataFrame,
    cutoff_ms: int,
    courses: Sequence[Course],
    hyperparameters: HyperParameters,
    rule: EngagementRule,
) -> Slice:
    encoded = encode(before, courses, rule)
    return Slice(encoded, build_cases(encoded, after, rule, cutoff_ms), _facts(encoded, hyperparameters))


def _facts(encoded: EncodedEvents, hyperparameters: HyperParameters) -> CatalogueFacts:
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    known = [course for course, seen in zip(encoded.courses, touched, strict=True) if seen]
    return CatalogueFacts(encoded, tfidf_matrix(fit_text(known, hyperparameters, encoded.courses), encoded.courses))


def _cold(result: Evaluation, users: int) -> dict[str, float]:
    return {"users": float(users)} | {name: result.mean(name) for name in result.per_user if "_" not in name}
