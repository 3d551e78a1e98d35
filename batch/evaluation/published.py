"""Published models beside a candidate: which ones, and how they do on its cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import ndcg
from batch.evaluation.experiment import Experiment
from batch.evaluation.gate import LAST_PUBLISHED, MIN_LEARNERS, Comparison, GoldenComparison, Verdict
from batch.evaluation.golden import Golden, digest, freeze, golden_cases, read_golden
from batch.evaluation.served import ScorerRecommender
from batch.metrics import paired_bootstrap
from batch.split import split_at
from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.bundle import Draft, as_bundle, load_manifest
from recsys.model.inputs import Doubles
from recsys.model.publishing import noted_publications
from recsys.model.scorer import Scorer


@dataclass(frozen=True, slots=True)
class GoldenSlice:
    """The golden slice of a models folder, as far as the history still holds it.

    Attributes:
        frozen: None where none is frozen, or too little is left of it to compare on.
        cases: What is left.
        courses: The catalogue their rows refer to.
    """

    frozen: Golden | None
    cases: Sequence[Case]
    courses: Sequence[Course]

    @classmethod
    def of(cls, models_dir: Path, events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> GoldenSlice:
        """Reads the frozen slice and computes its cases; one that cannot be read is none."""
        try:
            frozen = read_golden(models_dir)
        except BundleError:
            frozen = None
        cases = None if frozen is None else golden_cases(frozen, events, courses, rule)
        return cls(None, (), courses) if cases is None else cls(frozen, cases, courses)

    @property
    def best_version(self) -> str | None:
        """The model that is best on it."""
        return None if self.frozen is None else self.frozen.version

    def measure(self, draft: Draft) -> Doubles:
        """NDCG@10 of a model on each case `(u,)`."""
        return ndcg_of(Scorer(as_bundle(draft)), self.cases, self.courses)

    def compare(self, values: Doubles, *, seed: int) -> GoldenComparison:
        """A candidate, by its NDCG@10 on each case, beside the best; only where a slice is frozen."""
        if self.frozen is None:
            raise ValueError("no golden slice is frozen")
        best = np.array([self.frozen.cases[digest(case, self.courses)] for case in self.cases])
        difference = paired_bootstrap(values, best, seed=seed)
        return GoldenComparison(self.frozen.version, float(best.mean()), len(best), difference)

    def after(
        self, verdict: Verdict, values: Doubles | None, version: str, mine: Doubles, experiment: Experiment
    ) -> Golden | None:
        """The slice to keep once a model is published: this one, its best replaced where the model is better.

        A new one is frozen where there was none, and where the newest slice proved a gain. None where the test side has
        too few learners for one.

        Args:
            verdict: That let the model pass.
            values: Its recipe's NDCG@10 on each case of this slice; None where it was not measured.
            version: Of the model.
            mine: Its recipe's NDCG@10 on each case of the experiment.
            experiment: Of the model.
        """
        if self.frozen is not None and not verdict.proves_gain:
            if values is not None and verdict.golden is not None and verdict.golden.difference.mean > 0:
                until_ms = self.frozen.until_ms
                return freeze(self.cases, values, self.courses, until_ms=until_ms, version=version)
            return self.frozen
        if len(experiment.cases) < MIN_LEARNERS:
            return None
        until_ms = experiment.times[-1] + 1
        return freeze(experiment.cases, mine, self.courses, until_ms=until_ms, version=version)


def newest_cutoff(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, models_dir: Path, current: str | None
) -> tuple[int | None, str]:
    """Where the events begin that the model in use has not seen.

    Args:
        events: Cleaned.
        courses: The catalogue.
        rule: How events are read.
        models_dir: Where bundles are.
        current: The version in use.

    Returns:
        The instant, ms since 1970 UTC, and ""; or None and why there is nothing to compare on: no model is in use, its
        manifest is not in the folder, or fewer than `MIN_LEARNERS` learners with a history took something new since.
    """
    if current is None:
        return None, "no model is in use"
    try:
        cutoff = load_manifest(models_dir / current).data.last_ms + 1
    except BundleError as error:
        return None, f"its bundle cannot be read ({error})"
    before, after, _ = split_at(events, cutoff)
    learners = 0
    if len(before) and len(after):
        learners = len(warm(build_cases(encode(before, courses, rule), after, rule, cutoff)))
    if learners >= MIN_LEARNERS:
        return cutoff, ""
    return None, f"{learners} learners with a history took something new since it was trained ({MIN_LEARNERS} needed)"


def published_models(models_dir: Path, current: Scorer | None, also: str | None, cutoff_ms: int) -> list[Scorer]:
    """The models a candidate is compared with: the one in use, the last published before it, and `also`.

    Those whose bundles are gone, or whose history reaches past the cut-off, are left out.
    """
    if current is None:
        return []
    versions = [pointer.version for pointer in noted_publications(models_dir).published]
    wanted = dict.fromkeys([*versions[: LAST_PUBLISHED + 1], *([also] if also else [])])
    others = [_unseen(models_dir / version, cutoff_ms) for version in wanted if version != current.version]
    return [current, *(scorer for scorer in others if scorer is not None)]


def compare(mine: Doubles, scorers: Sequence[Scorer], experiment: Experiment) -> list[Comparison]:
    """The candidate beside each model on the test side of the experiment.

    Args:
        mine: NDCG@10 of the candidate on the cases `(u,)`.
        scorers: The other models.
        experiment: Of the candidate; its cases begin where the other models' histories end.
    """
    found = []
    for scorer in scorers:
        theirs = ndcg_of(scorer, experiment.cases, experiment.model.courses)
        difference = paired_bootstrap(mine, theirs, seed=experiment.hyperparameters.seed)
        found.append(Comparison(scorer.version, len(theirs), difference))
    return found


def ndcg_of(scorer: Scorer, cases: Sequence[Case], courses: Sequence[Course]) -> Doubles:
    """NDCG@10 of a model on each case `(u,)`, over the courses of the catalogue that are not retired."""
    offered = np.array([not course.retired for course in courses], dtype=bool)
    return ndcg(ScorerRecommender(scorer, courses), cases, offered)


def _unseen(path: Path, cutoff_ms: int) -> Scorer | None:
    try:
        return Scorer.load(path) if load_manifest(path).data.last_ms < cutoff_ms else None
    except BundleError:
        return None
