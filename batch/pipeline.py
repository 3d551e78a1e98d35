"""The batch layer end to end: history → clean → bots → experiment → gate → fit on everything → bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from batch.bots import find_bots, without_bots, without_repeated_instants
from batch.clean import clean_courses, clean_interactions
from batch.encoding import EngagementRule, encode
from batch.evaluation.experiment import Experiment, run_experiment
from batch.evaluation.gate import Verdict, compare
from batch.evaluation.report import write_report
from batch.history import History
from batch.stages import Stage, silent
from batch.train import fit_hybrid
from recsys.catalog import Course
from recsys.errors import CandidateRejected, InputError
from recsys.files import course_frame, courses_in
from recsys.model.bundle import load_manifest, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.manifest import DataRange
from recsys.model.scorer import Scorer
from recsys.settings import Settings

MIN_NEW_LEARNERS = 30
"""Learners with new events it takes to compare a candidate with the model in use."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A cleaned history.

    Attributes:
        events: Accepted events of learners that are no bots.
        courses: The catalogue.
        facts: What was read, refused and dropped, as JSON values.
    """

    events: pd.DataFrame
    courses: Sequence[Course]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Retrained:
    """What a retrain left behind: the bundle, its report, and what the gate said."""

    bundle: Path
    report: Path
    verdict: Verdict
    experiment: Experiment


def prepare(history: History, *, at_ms: int) -> Prepared:
    """Cleans a history and leaves bots out.

    Args:
        history: As read.
        at_ms: Now, ms since 1970 UTC; later events are refused.

    Raises:
        InputError: When nothing is left.
    """
    events, cleaning = clean_interactions(history.events, arrival_ms=at_ms)
    frame, catalogue = clean_courses(course_frame(history.courses))
    bots = find_bots(without_repeated_instants(events))
    kept = without_bots(events, set(bots["user_id"]))
    if kept.empty:
        raise InputError(f"expected interactions to train on, received none after cleaning ({cleaning})")
    facts = {
        "source": history.source,
        "events": asdict(cleaning),
        "courses": asdict(catalogue),
        "refused": dict(history.refused),
        "duplicates": history.duplicates,
        "bots": bots["reason"].value_counts().to_dict(),
        "offsets": dict(history.offsets),
    }
    return Prepared(kept, list(courses_in(frame)), facts)


def rule_of(settings: Settings) -> EngagementRule:
    """How the settings read an event."""
    return EngagementRule(settings.weights, settings.decay, settings.exclusion)


def retrain(
    history: History,
    settings: Settings,
    hyperparameters: HyperParameters,
    current: Scorer | None,
    *,
    at_ms: int,
    stage: Stage = silent,
) -> Retrained:
    """Trains, evaluates, and writes a bundle; publishing it is the caller's (`batch.publish`).

    What is evaluated is fitted before the test cut-off. What is written is fitted on everything, with the same
    settings; its manifest carries the evaluation's figures.

    Args:
        history: As read.
        settings: For folders, weights and half-life.
        hyperparameters: Of model and training.
        current: The model in use.
        at_ms: Now, ms since 1970 UTC.
        stage: Shows progress.

    Raises:
        InputError: For a history too small.
        CandidateRejected: When the gate refuses; the report is left behind, no bundle is written.
        BundleError: When the bundle cannot be written.
    """
    prepared = prepare(history, at_ms=at_ms)
    rule = rule_of(settings)
    cutoff = _unseen_since(prepared.events, settings.models_dir, current)
    experiment = run_experiment(prepared.events, prepared.courses, hyperparameters, rule, cutoff_ms=cutoff, stage=stage)
    verdict = compare(experiment, current if cutoff is not None else None)
    facts = {**prepared.facts, "gate": verdict.document(), "hyperparameters": asdict(experiment.hyperparameters)}
    report = write_report(settings.reports_dir, f"retrain-{at_ms}", experiment, facts)
    if not verdict.passed:
        raise CandidateRejected(f"{verdict.reason}; report in {report}")
    encoded = encode(prepared.events, prepared.courses, rule)
    draft = fit_hybrid(encoded, experiment.hyperparameters, rule, progress=stage("training on everything"))
    found = experiment.document()
    draft = replace(
        draft,
        created_at_ms=at_ms,
        data=_data_range(history, draft.data),
        metrics={name: found[name] for name in ("hybrid", "best_baseline", "hybrid_minus_best_baseline", "users")},
    )
    return Retrained(write_bundle(settings.models_dir.absolute(), draft), report, verdict, experiment)


def _unseen_since(events: pd.DataFrame, models_dir: Path, current: Scorer | None) -> int | None:
    """The instant after the current model's history, if enough learners were there before and came again since."""
    if current is None or not (models_dir / current.version).is_dir():
        return None
    cutoff = load_manifest(models_dir / current.version).data.last_ms + 1
    late = events["timestamp"] >= cutoff
    learners = set(events.loc[late, "user_id"]) & set(events.loc[~late, "user_id"])
    return cutoff if len(learners) >= MIN_NEW_LEARNERS else None


def _data_range(history: History, seen: DataRange) -> DataRange:
    return DataRange(
        source=history.source,
        events=seen.events,
        first_ms=seen.first_ms,
        last_ms=seen.last_ms,
        offsets=dict(history.offsets),
    )
