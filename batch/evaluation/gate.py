"""The gate: what is shown to be worse is not published; what cannot be told apart is, within bounds.

Two slices judge. On the **newest** one, events that neither model has seen, the candidate is compared with the model in
use, with the last `LAST_PUBLISHED` before it, and with the one that is best on the golden slice. It is refused when it
is shown to be worse than any of them: when the 95 % interval of the paired difference lies below zero. An interval that
holds zero refuses nothing: with some hundred learners it always does, and nothing newer could ever be published.

So that losses too small to be shown cannot add up, the recipe of the candidate is compared on the **golden** slice with
the best one published since that slice was frozen. It is refused when it is shown to be worse there by more than
`GOLDEN_TOLERANCE`, unless the newest slice shows it to be better than all it was compared with.

The rules are pure; `batch.pipeline` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from batch.metrics import Interval

LAST_PUBLISHED = 5
GOLDEN_TOLERANCE = 0.1
"""Share of the best level on the golden slice that a candidate may be shown to lose without proof of a gain."""
MIN_LEARNERS = 30
"""A slice of fewer learners is no ground for a comparison."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate beside one published model on the newest slice.

    Attributes:
        version: The other model.
        learners: How many the difference is paired over.
        difference: NDCG@10 of the candidate minus the other's, with its 95 % interval.
    """

    version: str
    learners: int
    difference: Interval

    @property
    def shown_worse(self) -> bool:
        """Whether the candidate loses beyond chance."""
        return self.difference.high < 0

    @property
    def shown_better(self) -> bool:
        """Whether the candidate wins beyond chance."""
        return self.difference.low > 0

    def __str__(self) -> str:
        mean, low, high = self.difference
        return f"NDCG@10 {mean:+.4f} (95 % {low:+.4f} … {high:+.4f}) against {self.version}, {self.learners} learners"


@dataclass(frozen=True, slots=True)
class GoldenComparison:
    """A candidate's recipe beside the best one on the golden slice.

    Attributes:
        version: The best model published since the slice was frozen.
        best: Its NDCG@10.
        learners: How many the difference is paired over.
        difference: NDCG@10 of the candidate minus the best, with its 95 % interval.
    """

    version: str
    best: float
    learners: int
    difference: Interval

    @property
    def lost(self) -> bool:
        """Whether the candidate is shown to be worse, by more than the tolerance."""
        return self.difference.high < 0 and self.difference.mean < -GOLDEN_TOLERANCE * self.best

    def __str__(self) -> str:
        mean, low, high = self.difference
        return (
            f"golden slice of {self.learners} learners: NDCG@10 {mean:+.4f} (95 % {low:+.4f} … {high:+.4f}) against "
            f"the best, {self.best:.4f} by {self.version}"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided.

    Attributes:
        passed: Whether the candidate may be published.
        reason: One line: what was decided, and from what.
        current: The model in use; None where there is none.
        newest: The comparisons on the newest slice, that with the model in use first.
        golden: The candidate on the golden slice; None where it was not looked at.
    """

    passed: bool
    reason: str
    current: str | None = None
    newest: Sequence[Comparison] = ()
    golden: GoldenComparison | None = None

    @property
    def proves_gain(self) -> bool:
        """Whether the newest slice shows the candidate to be better than every model it was compared with.

        Better than the model in use alone is not enough: that one may lie below the best already.
        """
        return bool(self.newest) and all(each.shown_better for each in self.newest)

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {
            "newest": [asdict(each) | {"difference": each.difference._asdict()} for each in self.newest],
            "golden": self.golden and asdict(self.golden) | {"difference": self.golden.difference._asdict()},
        }


def judge_newest(current: str | None, newest: Sequence[Comparison], *, fallback: bool, unseen: str = "") -> Verdict:
    """The verdict of the newest slice, before the bundle is trained.

    Args:
        current: The model in use.
        newest: One comparison with each published model that has not seen the slice.
        fallback: Whether the candidate is a baseline that stands in for a hybrid that lost to it; it replaces a model
            in use only when it is shown to be better.
        unseen: Why there is no comparison with the model in use, where there is none.
    """
    passed, reason = _on_newest(current, newest, fallback=fallback, unseen=unseen)
    return Verdict(passed=passed, reason=reason, current=current, newest=newest)


def _on_newest(current: str | None, newest: Sequence[Comparison], *, fallback: bool, unseen: str) -> tuple[bool, str]:
    if current is None:
        return True, "there is no published model that can be loaded, so there is nothing to compare with"
    worse = [each for each in newest if each.shown_worse]
    against = next((each for each in newest if each.version == current), None)
    if worse:
        return False, f"shown to be worse on the newest slice: {worse[0]}"
    if fallback and (against is None or not against.shown_better):
        found = unseen if against is None else str(against)
        return False, f"a baseline replaces {current} only where it is shown to be better: {found}"
    if against is None:
        return True, f"not compared with {current} on new events: {unseen}"
    if against.shown_better:
        return True, f"shown to be better: {against}"
    return True, f"not shown to be worse, so the newer one is published: {against}"


def judge_golden(verdict: Verdict, golden: GoldenComparison | None) -> Verdict:
    """Adds the golden slice's word to a verdict that let the candidate pass so far.

    Args:
        verdict: Of the newest slice.
        golden: None where no slice is frozen, too little is left of it, or the newest slice proves a gain.
    """
    if not verdict.passed or golden is None:
        return verdict
    lost = golden.lost and golden.learners >= MIN_LEARNERS and not verdict.proves_gain
    said = f"a loss of more than {GOLDEN_TOLERANCE:.0%} is shown: {golden}" if lost else str(golden)
    return replace(verdict, passed=not lost, reason=f"{verdict.reason}; {said}", golden=golden)
