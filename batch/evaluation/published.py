"""Published models beside a candidate: which ones, and how they do on its cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import ndcg
from batch.evaluation.experiment import Experiment
from batch.evaluation.gate import LAST_PUBLISHED, MIN_LEARNERS, Comparison, GoldenLevel, Verdict
from batch.evaluation.golden import Golden, chosen, freeze, golden_cases, read_golden
from batch.evaluation.metrics import paired_bootstrap
from batch.split import split_at
from batch.train import ScorerRecommender
from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.bundle import load_manifest
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

    def level(self, scorer: Scorer) -> GoldenLevel | None:
        """A model on the slice; None where there is none."""
        if self.frozen is None:
            return None
        level = float(np.mean(ndcg_of(scorer, self.cases, self.courses)))
        return GoldenLevel(level, self.frozen.best, self.frozen.version, len(self.cases))

    def after(self, verdict: Verdict, scorer: Scorer, version: str, experiment: Experiment) -> Golden | None:
        """The slice to keep once a model is published: this one, its best raised where the model is better.

        A new one is frozen where there was none, and where the newest slice showed a gain: then the level may fall, as
        the world has moved on. None where the test side has too few learners for one.
        """
        if self.frozen is not None and not verdict.proves_gain:
            if verdict.golden is not None and verdict.golden.level > self.frozen.best:
                return msgspec.structs.replace(self.frozen, best=verdict.golden.level, version=version)
            return self.frozen
        cases = chosen(experiment.cases, self.courses)
        if len(cases) < MIN_LEARNERS:
            return None
        level = float(np.mean(ndcg_of(scorer, cases, self.courses)))
        return freeze(cases, self.courses, until_ms=experiment.times[-1] + 1, level=level, version=version)


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
