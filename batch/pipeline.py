"""The batch layer end to end: history → clean → bots → experiment → candidate → gate → fit on everything → bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from batch.account import HistoryAccount
from batch.candidate import Candidate, choose_candidate, fit_candidate
from batch.encoding import EngagementRule, encode
from batch.evaluation.comparison import run_experiment
from batch.evaluation.experiment import Experiment
from batch.evaluation.figures import figures_of
from batch.evaluation.gate import Verdict, judge_golden, judge_newest
from batch.evaluation.golden import Golden
from batch.evaluation.published import GoldenSlice, compare, newest_cutoff, published_models
from batch.evaluation.report import write_report
from batch.preparation import Prepared, rule_of
from batch.split import split_at
from batch.stages import Stage, silent
from batch.text_encoders import TextEncoder, TfidfEncoder
from recsys.errors import CandidateRejected
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles
from recsys.model.manifest import DataRange
from recsys.model.scorer import Scorer
from recsys.settings import Settings


@dataclass(frozen=True, slots=True)
class Retrained:
    """What a retrain left behind.

    Attributes:
        bundle: The new bundle's folder.
        report: The report's folder.
        verdict: What the gate said.
        candidate: Which model the bundle holds, and why.
        experiment: What it was compared with.
        golden: The golden slice to keep beside the bundles once this one is published; None: none can be frozen.
        account: What became of the history.
    """

    bundle: Path
    report: Path
    verdict: Verdict
    candidate: Candidate
    experiment: Experiment
    golden: Golden | None
    account: HistoryAccount


@dataclass(frozen=True, slots=True)
class Compared:
    """A history, and the hybrid model beside its baselines on it.

    Attributes:
        prepared: The history.
        rule: How events are read.
        experiment: The comparison.
        cutoff_ms: Where its test side begins, if only events that the published models have not seen are in it; None:
            published models cannot be compared on it.
        unseen: Why not, for people; empty where they can.
    """

    prepared: Prepared
    rule: EngagementRule
    experiment: Experiment
    cutoff_ms: int | None
    unseen: str


def retrain(
    prepared: Prepared,
    settings: Settings,
    hyperparameters: HyperParameters,
    current: Scorer | None,
    *,
    at_ms: int,
    encoder: TextEncoder = TfidfEncoder(),  # noqa: B008 (immutable)
    stage: Stage = silent,
) -> Retrained:
    """Trains, evaluates, and writes a bundle; publishing it is the caller's (`batch.publish`).

    What is evaluated is fitted before the test cut-off. What is written is fitted on everything, with the same
    hyperparameters; its manifest carries the evaluation's figures.

    Args:
        prepared: The history.
        settings: For folders, weights and half-life.
        hyperparameters: Of model and training.
        current: The model in use.
        at_ms: Now, ms since 1970 UTC.
        encoder: Of the courses' texts.
        stage: Shows progress.

    Raises:
        InputError: For a history too small.
        CandidateRejected: When the gate refuses; the report is left behind, no bundle is written.
        BundleError: When the bundle cannot be written.
    """
    rule, models_dir = rule_of(settings), settings.models_dir.absolute()
    in_use = None if current is None else current.version
    cutoff, unseen = newest_cutoff(prepared.events, prepared.courses, rule, models_dir, in_use)
    experiment = run_experiment(
        prepared.events, prepared.courses, hyperparameters, rule, cutoff_ms=cutoff, encoder=encoder, stage=stage
    )
    compared = Compared(prepared, rule, experiment, cutoff, unseen)
    return decide(compared, settings, current, at_ms=at_ms, stage=stage)


def decide(
    compared: Compared, settings: Settings, current: Scorer | None, *, at_ms: int, stage: Stage = silent
) -> Retrained:
    """What follows a comparison: candidate, gate, report and, where the gate lets it pass, a bundle.

    Raises:
        CandidateRejected: When the gate refuses; the report is left behind, no bundle is written.
        BundleError: When the bundle cannot be written.
    """
    prepared, experiment = compared.prepared, compared.experiment
    models_dir = settings.models_dir.absolute()
    candidate = choose_candidate(experiment, compared.rule)
    golden = GoldenSlice.of(models_dir, prepared.events, prepared.courses, compared.rule)
    verdict, values = _judged(compared, candidate, golden, models_dir, current, stage)
    report = _report(settings.reports_dir, at_ms, prepared, candidate, verdict, experiment)
    if not verdict.passed:
        raise CandidateRejected(
            f"nothing published, {verdict.current} stays in use: {verdict.reason}; report in {report}"
        )
    encoded = encode(prepared.events, prepared.courses, compared.rule)
    stage("training on everything")
    draft = fit_candidate(candidate, encoded, experiment, compared.rule, learn=False, stage=stage)
    bundle = write_bundle(models_dir, _finished(draft, prepared, candidate, verdict, experiment, at_ms))
    kept = golden.after(verdict, values, bundle.name, candidate.per_user, experiment)
    return Retrained(bundle, report, verdict, candidate, experiment, kept, prepared.account)


def _judged(
    compared: Compared,
    candidate: Candidate,
    golden: GoldenSlice,
    models_dir: Path,
    current: Scorer | None,
    stage: Stage,
) -> tuple[Verdict, Doubles | None]:
    """What the gate says, and the recipe's NDCG@10 on each case of the golden slice; None where it was not measured."""
    experiment, rule, prepared = compared.experiment, compared.rule, compared.prepared
    in_use = None if current is None else current.version
    newest = []
    if compared.cutoff_ms is not None:
        others = published_models(models_dir, current, golden.best_version, compared.cutoff_ms)
        newest = compare(candidate.per_user, others, experiment)
    verdict = judge_newest(in_use, newest, fallback=candidate.is_fallback, unseen=compared.unseen)
    if not verdict.passed or in_use is None or golden.frozen is None or verdict.proves_gain:
        return verdict, None
    before = split_at(prepared.events, golden.frozen.cutoff_ms).before
    stage("training on the part before the golden slice")
    known = encode(before, prepared.courses, rule)
    values = golden.measure(fit_candidate(candidate, known, experiment, rule, learn=True, stage=stage))
    return judge_golden(verdict, golden.compare(values, seed=experiment.hyperparameters.seed)), values


def _report(
    reports_dir: Path, at_ms: int, prepared: Prepared, candidate: Candidate, verdict: Verdict, experiment: Experiment
) -> Path:
    facts = {
        "headline": headline(candidate, verdict),
        "model": candidate.name,
        "account_lines": prepared.account.lines(),
        **prepared.facts,
        "gate": verdict.document(),
        "hyperparameters": asdict(experiment.hyperparameters),
    }
    return write_report(reports_dir, f"retrain-{at_ms}", experiment, facts)


def headline(candidate: Candidate, verdict: Verdict) -> str:
    """The first line of a retrain's report and of what it prints."""
    decided = "To be published" if verdict.passed else f"Not published, {verdict.current} stays in use"
    return f"{decided}. {candidate.reason} Gate: {verdict.reason}."


def _finished(
    draft: Draft,
    prepared: Prepared,
    candidate: Candidate,
    verdict: Verdict,
    experiment: Experiment,
    at_ms: int,
) -> Draft:
    """The draft with its time, its data range and the figures of the evaluation."""
    found = figures_of(experiment)
    kept = ("hybrid", "best_baseline", "hybrid_minus_best_baseline", "users")
    metrics = {
        "model": candidate.name,
        "headline": headline(candidate, verdict),
        "ndcg@10": float(candidate.per_user.mean()),
        **{name: found[name] for name in kept},
    }
    return replace(draft, created_at_ms=at_ms, data=_data_range(prepared, draft.data), metrics=metrics)


def _data_range(prepared: Prepared, seen: DataRange) -> DataRange:
    return DataRange(
        source=prepared.source,
        events=seen.events,
        first_ms=seen.first_ms,
        last_ms=seen.last_ms,
        offsets=dict(prepared.offsets),
    )
