"""Whether an increment may be published, and whether a published one must go: evidence and verdicts. Pure.

Every new positive event is a trial before anything is learned from it: how far up stood the course for that learner,
under the weights as they are, those published and those published before. Differences are paired by event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Floats
from recsys.prequential import DecayedMean, gain

AGREEMENT_AT_10 = "agreement@10"
"""Its name among the figures of a verdict."""


class Outcome(StrEnum):
    """What became of a proposal."""

    WAITING = "waiting"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    PASSED = "passed"
    ROLL_BACK = "roll_back"
    FROZEN = "frozen"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided.

    Attributes:
        outcome: See `Outcome`.
        reason: One line.
        figures: What it was decided from.
    """

    outcome: Outcome
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateRules:
    """When an increment passes.

    Attributes:
        events: Positive events that must have been predicted since the last decision, at least 2.
        confidence: Of the interval of the difference that must lie above 0. Of increments that do nothing .8 lets one
            in ten pass at a verdict, about one in four at some verdict of many; by a mean above 0 every second.
        evidence: For how many times `events` evidence for an increment adds up before it begins anew, because the
            increment changes meanwhile.
        moved: Least share of the top-10 of a sample that differs from what is published.
        agreement: Least share of it that does not differ: an increment moves little, so one that replaces whole lists
            is broken.
        old_ratio: Least NDCG@10 on the old slice, as a share of the parent's with the same item-item matrices.
        rejections: In a row, after which nothing is learned until a retrain is published.
    """

    events: int = 200
    confidence: float = 0.8
    evidence: int = 10
    moved: float = 0.01
    agreement: float = 0.2
    old_ratio: float = 0.9
    rejections: int = 5


class Trial(msgspec.Struct, frozen=True):
    """Prequential NDCG@10 of pairs of models on the same events.

    Attributes:
        model: Of the model looked at.
        other: Of the one beside it.
        difference: model − other.
    """

    model: DecayedMean = DecayedMean()
    other: DecayedMean = DecayedMean()
    difference: DecayedMean = DecayedMean()

    @property
    def events(self) -> int:
        """Events looked at."""
        return round(self.difference.weight)

    def added(self, model: float, other: float, at_ms: int) -> Trial:
        """With one more event."""
        return Trial(
            self.model.added(model, at_ms), self.other.added(other, at_ms), self.difference.added(model - other, at_ms)
        )

    def figures(self) -> dict[str, float]:
        """For a report."""
        low, high = self.difference.interval()
        return {
            "events": float(self.events),
            "ndcg@10": self.model.mean or 0.0,
            "beside": self.other.mean or 0.0,
            "difference": self.difference.mean or 0.0,
            "low": low,
            "high": high,
        }

    def __str__(self) -> str:
        """The difference with its interval."""
        low, high = self.difference.interval()
        mean = self.difference.mean or 0.0
        return (
            f"NDCG@10 {mean:+.4f} (95 % {low:+.4f} … {high:+.4f}) on {self.events} events, each before it was learned"
        )


def judge(  # noqa: PLR0911 - one return for each outcome, in their order
    rules: GateRules,
    newest: Trial,
    guard: Trial,
    *,
    finite: bool,
    agreement: Callable[[], float],
    old: Callable[[], tuple[float, float] | None],
) -> Verdict:
    """The verdict on the increment as it is.

    Args:
        rules: When it passes.
        newest: The increment beside what is published, since the last decision.
        guard: What is published beside what was before, since it was published.
        finite: Whether all numbers of the increment are.
        agreement: Gives agreement@10 with what is published, over a sample of learners (`agreement_of`).
        old: Gives NDCG@10 on the old slice, the increment's and the retrain's with the same matrices; None where none
            was kept. It and `agreement` are asked only where nothing else decides, because they rank hundreds of lists.
    """
    if guard.events >= rules.events and guard.difference.interval().high < 0:
        reason = f"shown to be worse since it was published: {guard}"
        return Verdict(Outcome.ROLL_BACK, reason, guard.figures())
    if not finite:
        return Verdict(Outcome.REJECTED, "its numbers are not finite")
    figures = newest.figures()
    undecided = _of_predictions(rules, newest, figures)
    if undecided is not None:
        return undecided
    figures[AGREEMENT_AT_10] = share = agreement()
    if 1 - share < rules.moved:
        reason = f"changes {1 - share:.1%} of the top-10, {rules.moved:.1%} are needed"
        return Verdict(Outcome.UNCHANGED, reason, figures)
    if share < rules.agreement:
        reason = f"lists other courses than are published: {AGREEMENT_AT_10} {share:.2f}, below {rules.agreement:.2f}"
        return Verdict(Outcome.REJECTED, reason, figures)
    kept = old()
    if kept is None:
        return Verdict(Outcome.PASSED, f"{newest}; {AGREEMENT_AT_10} {share:.2f}; no old slice", figures)
    mine, parents = kept
    figures |= {"old": mine, "old_of_retrain": parents}
    if mine < rules.old_ratio * parents:
        reason = f"forgets: NDCG@10 {mine:.4f} on the old slice, {parents:.4f} by the retrain with the same matrices"
        return Verdict(Outcome.REJECTED, reason, figures)
    reason = f"{newest}; {AGREEMENT_AT_10} {share:.2f}; old slice {mine:.4f}, retrain {parents:.4f}"
    return Verdict(Outcome.PASSED, reason, figures)


def _of_predictions(rules: GateRules, newest: Trial, figures: Mapping[str, float]) -> Verdict | None:
    """The verdict where predictions alone give one; None where the increment is shown to be better."""
    if newest.events < rules.events:
        return Verdict(Outcome.WAITING, f"{newest.events} positive events, {rules.events} are needed", figures)
    if newest.difference.interval().high < 0:
        return Verdict(Outcome.REJECTED, f"shown to be worse than what is published: {newest}", figures)
    if (newest.difference.mean or 0.0) < 0:
        return Verdict(Outcome.WAITING, f"not better than what is published: {newest}", figures)
    if newest.difference.interval(rules.confidence).low <= 0:
        return Verdict(Outcome.WAITING, f"not yet shown to be better than what is published: {newest}", figures)
    return None


def ndcg_of(scores: Floats, row: int, hidden: NDArray[np.bool_]) -> float:
    """NDCG@10 of one relevant course among those not hidden; ties count against it."""
    ahead = (scores >= scores[row]) & ~hidden
    ahead[row] = False
    return gain(int(ahead.sum()) + 1)


def agreement_of(lists: Iterable[tuple[Collection[str], Collection[str]]]) -> float:
    """agreement@k (overlap@k): the share of places whose course is on both lists of a pair; 1 without any place.

    Where lists differ in length the longer one's places count, so a list that shows less does not agree. The order
    within a list counts for nothing.

    Args:
        lists: Pairs of lists of up to k courses, each without repeats; the pair's order does not matter.
    """
    pairs = [(set(mine), set(theirs)) for mine, theirs in lists]
    places = sum(max(len(mine), len(theirs)) for mine, theirs in pairs)
    return sum(len(mine & theirs) for mine, theirs in pairs) / places if places else 1.0
