"""One comparison: cut in time, tune on a validation slice, fit on the training side, look at the test side once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import CatalogueFacts, Evaluation, evaluate, ndcg
from batch.evaluation.leakage import Check, checks_of_history, checks_of_model, require_no_leak
from batch.evaluation.metrics import Interval, bootstrap, paired_bootstrap
from batch.evaluation.tuning import METRIC, RECENT_POPULARITY, Slice, Tuned, sampled, tune_baselines
from batch.features import fit_text, tfidf_matrix
from batch.split import split_at, split_share
from batch.stages import Stage, silent
from batch.text_encoders import TFIDF, TextEncoder, TfidfEncoder
from batch.train import fit_hybrid, recommender
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.exclusion import Exclusion
from recsys.model.bundle import Draft
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles

TRAIN_SHARE = 0.8
HYBRID = "hybrid"
MAX_LEARNERS = 2000
"""Most learners with a history that a comparison is made on; of more, some are drawn by the seed."""

MAX_COLD = 1000
"""The same of learners without a history."""

_FIRST_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything one comparison found.

    Attributes:
        encoded: The training side.
        model: The hybrid fitted on the training side (not the one to publish).
        hyperparameters: With what the validation slice chose.
        exclusion: What every list leaves out.
        tuned: What the validation slice chose for the baselines.
        cases: Warm learners of the test side, with something relevant; `MAX_LEARNERS` of more.
        found: How many there are of them.
        facts: Of the training side.
        hybrid: Figures of the hybrid, aligned with `cases`.
        baselines: Figures of each baseline, the blend of all among them.
        cold: Figures of the hybrid (`hybrid`) and of each baseline on learners the training side does not know.
        seeds: Seed → NDCG@10 of the hybrid trained with it on each case `(u,)`; that of `hybrid` first.
        encoder: Of the courses' texts.
        alternatives: Figures of hybrids fitted in another way, to compare with.
        curve: Mean loss of each epoch of the towers.
        penalties: NDCG@10 of each item-item penalty tried on the end of the training side.
        lists: How many lists of learners the mixer learned from.
        mixer_curve: Mean loss of each epoch of the mixer.
        checks: The leakage checks, all passed.
        event_types: Type → events on both sides, the most frequent first.
        half_life_days: Of the engagement sums.
        times: First event, validation cut-off, test cut-off, last event; ms since 1970 UTC.
    """

    encoded: EncodedEvents
    model: Draft
    hyperparameters: HyperParameters
    exclusion: Exclusion
    tuned: Tuned
    cases: Sequence[Case]
    found: int
    facts: CatalogueFacts
    hybrid: Evaluation
    baselines: dict[str, Evaluation]
    cold: dict[str, Evaluation]
    seeds: Mapping[int, Doubles]
    encoder: TextEncoder
    alternatives: Mapping[str, Evaluation]
    curve: Sequence[float]
    penalties: Mapping[float, float]
    lists: int
    mixer_curve: Sequence[float]
    checks: Sequence[Check]
    event_types: Mapping[str, int]
    half_life_days: float
    times: tuple[int, int, int, int]

    def best_baseline(self) -> str:
        """The baseline of highest NDCG@10."""
        return max(self.baselines, key=lambda name: self.baselines[name].mean(METRIC))

    def difference(self, name: str | None = None) -> Interval:
        """NDCG@10 of the hybrid minus that of a baseline (None: the best), paired by learner."""
        other = self.baselines[name or self.best_baseline()].per_user[METRIC]
        return paired_bootstrap(self.hybrid.per_user[METRIC], other, seed=self.hyperparameters.seed)

    def document(self) -> dict[str, Any]:
        """All figures as JSON values: the form of `recsys evaluate --json`."""
        seed = self.hyperparameters.seed
        return {
            "hybrid": self.hybrid.summary(seed=seed),
            "baselines": {name: result.summary(seed=seed) for name, result in self.baselines.items()},
            "users": len(self.cases),
            "users_found": self.found,
            "excluded": str(self.exclusion),
            "best_baseline": self.best_baseline(),
            "hybrid_minus_best_baseline": self.difference()._asdict(),
            "hybrid_minus": {name: self.difference(name)._asdict() for name in self.baselines},
            "seeds": self._seeds(),
            "text_encoder": self.encoder.name,
            "alternatives": {name: self._beside(result) for name, result in self.alternatives.items()},
            "cold_users": self._cold(),
            "options": {name: dict(options) for name, options in self.tuned.options.items()},
            "blend_weights": dict(self.tuned.weights),
            "tuning": self.tuned.budget(),
            "curve": [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate(self.curve, start=1)],
            "penalties": {f"{l2:g}": value for l2, value in self.penalties.items()},
            "lists": self.lists,
            "event_types": dict(self.event_types),
            "head_share_liked": self._head_share_liked(),
            "mixer_curve": list(self.mixer_curve),
            "segments": self.segments(),
            "leakage": [asdict(check) for check in self.checks],
            "times_ms": dict(zip(("first", "validation_cutoff", "test_cutoff", "last"), self.times, strict=True)),
        }

    def _head_share_liked(self) -> float:
        """Share of the head in what the learners of the test side took: what `head_share@10` of lists compares with."""
        liked = np.concatenate([case.relevant for case in self.cases])
        return float(self.facts.head[liked].mean())

    def segments(self) -> dict[str, Any]:
        """Segment → its metric, how many learners it has, and each model's figure with its interval.

        NDCG@10 of all learners, of those with and without a history; recall@20 of what learners with a history took
        among the head, the tail and the courses that training does not know.
        """
        warm = {HYBRID: self.hybrid, **self.baselines}
        nobody = np.zeros(0)
        values = {
            "all learners": (
                METRIC,
                {
                    n: np.concatenate([r.per_user[METRIC], self.cold[n].per_user.get(METRIC, nobody)])
                    for n, r in warm.items()
                },
            ),
            "learners with a history": (METRIC, {name: result.per_user[METRIC] for name, result in warm.items()}),
            "learners without": (METRIC, {name: r.per_user.get(METRIC, nobody) for name, r in self.cold.items()}),
        }
        for segment in ("head", "tail", "cold_courses"):
            metric = f"recall@20_{segment}"
            values[segment.replace("_", " ")] = (metric, {name: r.per_user[metric] for name, r in warm.items()})
        return {segment: self._segment(metric, models) for segment, (metric, models) in values.items()}

    def _segment(self, metric: str, models: Mapping[str, Doubles]) -> dict[str, Any]:
        known = ~np.isnan(models[HYBRID])
        seed = self.hyperparameters.seed
        figures = {name: bootstrap(values[known], seed=seed)._asdict() for name, values in models.items()}
        return {"metric": metric.partition("_")[0], "learners": int(known.sum()), "models": figures}

    def _seeds(self) -> dict[str, Any]:
        """NDCG@10 of each seed, and of all together: a learner's value is then the mean over the seeds."""
        values = np.stack(list(self.seeds.values()))
        best = self.baselines[self.best_baseline()].per_user[METRIC]
        difference = paired_bootstrap(values.mean(axis=0), best, seed=self.hyperparameters.seed)
        return {
            "ndcg@10": {str(seed): float(each.mean()) for seed, each in self.seeds.items()},
            "mean": float(values.mean()),
            "deviation": float(values.mean(axis=1).std()),
            "mean_minus_best_baseline": difference._asdict(),
        }

    def _beside(self, other: Evaluation) -> dict[str, Any]:
        """NDCG@10 and recall of cold courses of the hybrid minus another's, paired by learner."""
        found = {}
        for metric in (METRIC, "recall@20_cold_courses"):
            mine, theirs = self.hybrid.per_user[metric], other.per_user[metric]
            known = ~np.isnan(mine)
            difference = paired_bootstrap(mine[known], theirs[known], seed=self.hyperparameters.seed)
            found[metric] = {"other": other.mean(metric), "hybrid_minus_other": difference._asdict()}
        return found

    def _cold(self) -> dict[str, Any]:
        """The hybrid on learners without a history, and beside trending."""
        mine, trending = self.cold["hybrid"], self.cold[RECENT_POPULARITY]
        figures = {name: mine.mean(name) for name in mine.per_user if "_" not in name}
        found = mine.per_user.get(METRIC, np.zeros(0))
        other = trending.per_user.get(METRIC, np.zeros(0))
        difference = paired_bootstrap(found, other, seed=self.hyperparameters.seed)
        return {"users": float(len(found)), **figures, "minus_recent_popularity": difference._asdict()}


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
    _check_likes(events, courses, rule)
    test = split_share(events, TRAIN_SHARE) if cutoff_ms is None else split_at(events, cutoff_ms)
    outer = _slice(test.before, test.after, test.cutoff_ms, courses, hyperparameters, rule)
    found = _somebody(warm(outer.cases), test.cutoff_ms)
    checks = checks_of_history(events, outer.encoded, outer.cases, rule, test.cutoff_ms)
    require_no_leak(checks)
    validation = split_share(test.before, TRAIN_SHARE)
    inner = _slice(validation.before, validation.after, validation.cutoff_ms, courses, hyperparameters, rule)
    tuned = replace(inner, cases=warm(inner.cases))
    stage("tuning the baselines")
    baselines = tune_baselines(tuned, seed=hyperparameters.seed)
    cases = sampled(found, MAX_LEARNERS, hyperparameters.seed)
    unknown = sampled([case for case in outer.cases if case.user_row < 0], MAX_COLD, hyperparameters.seed)
    stage("training on the part before the test")
    fitted = fit_hybrid(outer.encoded, hyperparameters, rule, encoder=encoder, stage=stage)
    stage("evaluating")
    models = {HYBRID: recommender(fitted.draft)} | baselines.fitted(
        outer.encoded, outer.facts.text, outer.facts.offered
    )
    results = {name: evaluate(model, cases, outer.facts) for name, model in models.items()}
    cold = {name: evaluate(model, unknown, outer.facts) for name, model in models.items()}
    more = _MoreHybrids(outer, cases, hyperparameters, rule, stage)
    by_seed = {hyperparameters.seed: results[HYBRID].per_user[METRIC]} | more.of_other_seeds(seeds - 1, encoder)
    alternatives = {} if encoder.name == TFIDF else {f"{HYBRID} with TF-IDF": more.with_tfidf()}
    checks += checks_of_model(events, outer.encoded, fitted.draft, rule, test.cutoff_ms)
    require_no_leak(checks)
    return Experiment(
        encoded=outer.encoded,
        model=fitted.draft,
        hyperparameters=fitted.draft.settings,
        exclusion=rule.exclusion,
        tuned=baselines,
        cases=cases,
        found=len(found),
        facts=outer.facts,
        hybrid=results.pop(HYBRID),
        baselines=results,
        cold=cold,
        seeds=by_seed,
        encoder=encoder,
        alternatives=alternatives,
        curve=fitted.curve,
        penalties=fitted.penalties,
        lists=fitted.lists,
        mixer_curve=fitted.mixer_curve,
        checks=checks,
        event_types={str(kind): int(number) for kind, number in events["type"].value_counts().items()},
        half_life_days=rule.decay.half_life_days,
        times=(int(events["timestamp"].min()), validation.cutoff_ms, test.cutoff_ms, int(events["timestamp"].max())),
    )


def _somebody(cases: list[Case], cutoff_ms: int) -> list[Case]:
    if not cases:
        raise InputError(
            f"nobody to test on: no learner of the part before the cut-off ({_day(cutoff_ms)}) took something new "
            "after it"
        )
    return cases


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


def _check_likes(events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> None:
    # Nearly always some of the first events have one, and the others need not be folded to know it.
    if any((encode(some, courses, rule).weight > 0).any() for some in (events.head(_FIRST_EVENTS), events)):
        return
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
