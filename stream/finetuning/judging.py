"""Judging a line: the verdict on its increment as it is, and the bundle that it makes. No clock, no I/O."""

from __future__ import annotations

from dataclasses import replace

from recsys.model.bundle import Bundle, Draft
from stream.finetuning.candidates import candidate
from stream.finetuning.gate import Outcome, Verdict, judge
from stream.finetuning.line import Line
from stream.finetuning.shadow import as_in_use


def verdict_on(line: Line) -> Verdict:
    """The verdict on the increment as it is; one that is rejected is gone with it."""
    if line.frozen:
        times = line.lineage.rejections
        return Verdict(
            Outcome.FROZEN, f"rejected {times} times in a row: nothing is learned until a retrain is published"
        )
    gate, evidence, published = line.rules.gate, line.evidence, line.lineage.of_published
    verdict = judge(
        gate,
        evidence.newest,
        evidence.guard,
        finite=line.increment.is_finite(),
        agreement=lambda: evidence.agreement(as_in_use(_candidate(line)), published),
        old=lambda: evidence.old_slice(line.variant),
    )
    newest = evidence.newest
    speaks_for_it = (newest.difference.mean or 0.0) >= 0 and newest.events < gate.evidence * gate.events
    undecided = verdict.outcome in {Outcome.WAITING, Outcome.UNCHANGED}
    if undecided and newest.events >= gate.events and not speaks_for_it:
        evidence.decided()  # it may be better by now than it was on average, or worse
    if verdict.outcome is Outcome.REJECTED:
        line.reject()
    return verdict


def draft_of(line: Line, verdict: Verdict, *, at_ms: int) -> Draft:
    """The increment as a bundle.

    Args:
        line: What it is an increment of.
        verdict: On it.
        at_ms: Now, ms since 1970 UTC.
    """
    return candidate(
        line.parent,
        verdict,
        courses=line.situations.courses,
        arrays=_candidate(line).arrays,
        positions=line.positions,
        learned=line.learned,
        last_ms=line.last_ms,
        replaces=line.lineage.published,
        at_ms=at_ms,
    )


def _candidate(line: Line) -> Bundle:
    """The parent with the increment as it is, and the course features of the latest event."""
    arrays = line.situations.model(line.matrices.current).arrays(line.increment)
    arrays |= line.activity.arrays(line.last_ms)
    return replace(line.parent, courses=line.situations.courses, arrays=arrays)
