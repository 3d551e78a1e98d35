"""One comparison: cut in time, tune on a validation slice, fit on the training side, look at the test side once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import Case, Recommender, build_cases, warm
from batch.evaluation.evaluate import CatalogueFacts, Evaluation, evaluate, ndcg
from batch.evaluation.experiment import HYBRID, Experiment
from batch.evaluation.leakage import Check, checks_of_history, checks_of_model, require_no_leak
from batch.evaluation.served import recommender
from batch.evaluation.tuning import METRIC, Slice, sampled, tune_baselines
from batch.features import fit_text, tfidf_matrix
from batch.split import TimeSplit, split_at, split_share
from batch.stages import Stage, silent
from batch.text_encoders import TFIDF, TextEncoder, TfidfEncoder
from batch.train import fit_hybrid
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles

TRAIN_SHARE = 0.8
MAX_LEARNERS = 2000
"""Most learners with a history that a comparison is made on; of more, some are drawn by the seed."""

MAX_COLD = 1000
"""The same of learners without a history."""

_FIRST_EVENTS = 10_000


def run_experiment(
    events: pd.DataFrame,
    courses: Sequence[Course],
    hyperparameters: HyperParameters,
    rule: EngagementRule,
    *,
    cutoff_ms: int | None = None,
    seeds: int = 1,
    encoder: TextEncoder = TfidfEncoder(),  # noqa: B008 (immutable)
    stage: Stage = silent,
) -> Experiment:
    """Compares the hybrid model with its baselines.

    Args:
        events: Cleaned.
        courses: The catalogue.
        hyperparameters: To start from.
        rule: Of the engagement scores.
        cutoff_ms: Where the test side begins; None: at the event that follows the first `TRAIN_SHARE` of them.
        seeds: How many hybrids are trained, from the seed of the hyperparameters on; all figures but `seeds` are the
            first one's.
        encoder: Of the courses' texts; beside another than TF-IDF, a hybrid with TF-IDF is trained to compare with.
        stage: Shows progress.

    Raises:
        InputError: When the history is too small to cut or to train on, or nobody is left to test on.
        LeakFound: What is evaluated knows what it is asked for.
    """
    sides = _cut(events, courses, hyperparameters, rule, cutoff_ms)
    outer, checks = sides.outer, sides.checks
    stage("tuning the baselines")
    tuned = tune_baselines(sides.inner, seed=hyperparameters.seed)
    cases = sampled(sides.found, MAX_LEARNERS, hyperparameters.seed)
    unknown = sampled([case for case in outer.cases if case.user_row < 0], MAX_COLD, hyperparameters.seed)
    stage("training on the part before the test")
    fitted = fit_hybrid(outer.encoded, hyperparameters, rule, encoder=encoder, stage=stage)
    stage("evaluating")
    baselines = tuned.fitted(outer.encoded, outer.facts.text, outer.facts.offered)
    models = {HYBRID: recommender(fitted.draft)} | baselines
    results = _evaluated(models, cases, outer.facts)
    cold = _evaluated(models, unknown, outer.facts)
    more = _MoreHybrids(outer, cases, hyperparameters, rule, stage)
    by_seed = {hyperparameters.seed: results[HYBRID].per_user[METRIC]} | more.of_other_seeds(seeds - 1, encoder)
    alternatives = {} if encoder.name == TFIDF else {f"{HYBRID} with TF-IDF": more.with_tfidf()}
    checks = [*checks, *checks_of_model(events, outer.encoded, fitted.draft, rule, sides.times[-1])]
    require_no_leak(checks)
    return Experiment(
        encoded=outer.encoded,
        fitted=fitted,
        hyperparameters=fitted.draft.settings,
        exclusion=rule.exclusion,
        tuned=tuned,
        cases=cases,
        found=len(sides.found),
        facts=outer.facts,
        hybrid=results.pop(HYBRID),
        baselines=results,
        cold=cold,
        seeds=by_seed,
        encoder=encoder,
        alternatives=alternatives,
        checks=checks,
        event_types={str(kind): int(number) for kind, number in events["type"].value_counts().items()},
        half_life_days=rule.decay.half_life_days,
        times=(int(events["timestamp"].min()), *sides.times, int(events["timestamp"].max())),
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """A history cut twice in time: the test side behind the training side, whose own end is the validation slice.

    Attributes:
        outer: All before the test side, with the cases of it.
        inner: The training side of the validation slice, with the cases of that; learners with a history only.
        found: Cases of the test side whose learners have a history.
        checks: That nothing of the test side is known on the training side.
        times: Where the validation slice and the test side begin, ms since 1970 UTC.
    """

    outer: Slice
    inner: Slice
    found: Sequence[Case]
    checks: list[Check]
    times: tuple[int, int]


def _cut(
    events: pd.DataFrame,
    courses: Sequence[Course],
    hyperparameters: HyperParameters,
    rule: EngagementRule,
    cutoff_ms: int | None,
) -> _Sides:
    """Raises as `run_experiment` does."""
    _require_likes(events, courses, rule)
    test = split_share(events, TRAIN_SHARE) if cutoff_ms is None else split_at(events, cutoff_ms)
    outer = _slice(test, courses, hyperparameters, rule)
    found = _require_somebody(warm(outer.cases), test.cutoff_ms)
    checks = checks_of_history(events, outer.encoded, outer.cases, rule, test.cutoff_ms)
    require_no_leak(checks)
    validation = split_share(test.before, TRAIN_SHARE)
    inner = _slice(validation, courses, hyperparameters, rule)
    return _Sides(outer, replace(inner, cases=warm(inner.cases)), found, checks, (validation.cutoff_ms, test.cutoff_ms))


def _require_likes(events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> None:
    # Nearly always some of the first events have one, and the others need not be folded to know it.
    if any((encode(some, courses, rule).weight > 0).any() for some in (events.head(_FIRST_EVENTS), events)):
        return
    types = ", ".join(f"{number} {kind}" for kind, number in events["type"].value_counts().items())
    raise InputError(
        f"nothing to learn from: none of the {len(events)} interactions has a positive weight ({types}); check the "
        "event types, the values of progress and rate, and RECSYS_ENGAGEMENT_WEIGHTS"
    )


def _require_somebody(cases: list[Case], cutoff_ms: int) -> list[Case]:
    if not cases:
        raise InputError(
            f"nobody to test on: no learner of the part before the cut-off ({_day(cutoff_ms)}) took something new "
            "after it"
        )
    return cases


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _slice(
    sides: TimeSplit, courses: Sequence[Course], hyperparameters: HyperParameters, rule: EngagementRule
) -> Slice:
    encoded = encode(sides.before, courses, rule)
    cases = build_cases(encoded, sides.after, rule, sides.cutoff_ms)
    return Slice(encoded, cases, _facts(encoded, hyperparameters))


def _facts(encoded: EncodedEvents, hyperparameters: HyperParameters) -> CatalogueFacts:
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    known = [course for course, seen in zip(encoded.courses, touched, strict=True) if seen]
    return CatalogueFacts(encoded, tfidf_matrix(fit_text(known, hyperparameters, encoded.courses), encoded.courses))


def _evaluated(
    models: Mapping[str, Recommender], cases: Sequence[Case], facts: CatalogueFacts
) -> dict[str, Evaluation]:
    return {name: evaluate(model, cases, facts) for name, model in models.items()}


@dataclass(frozen=True, slots=True)
class _MoreHybrids:
    """Hybrids beside the first one, on the same part of the history and the same cases."""

    part: Slice
    cases: Sequence[Case]
    hyperparameters: HyperParameters
    rule: EngagementRule
    stage: Stage

    def of_other_seeds(self, count: int, encoder: TextEncoder) -> dict[int, Doubles]:
        """Seed → the main metric of each case, for so many seeds after the first."""
        found = {}
        for seed in range(self.hyperparameters.seed + 1, self.hyperparameters.seed + 1 + count):
            self.stage(f"training with seed {seed}")
            settings = replace(self.hyperparameters, seed=seed)
            fitted = fit_hybrid(self.part.encoded, settings, self.rule, encoder=encoder, stage=self.stage)
            found[seed] = ndcg(recommender(fitted.draft), self.cases, self.part.facts.offered)
        return found

    def with_tfidf(self) -> Evaluation:
        """All figures of one whose texts TF-IDF reads."""
        self.stage("training with TF-IDF")
        fitted = fit_hybrid(self.part.encoded, self.hyperparameters, self.rule, stage=self.stage)
        return evaluate(recommender(fitted.draft), self.cases, self.part.facts)
