"""Prequential evaluation: each event is first predicted, then learned (Gama, Sebastião, Rodrigues, 2013). Pure.

A positive event of a learner is one trial: was the course on the list that would have been shown just before it, and
how far up? Trials are summed with weights that halve every half-life of event time, so that a figure tells of the last
hour or day without a memory of its trials. Additions commute: what comes late counts with its age.

Standard library only. The monitor, the fine-tuner's gate and the offline comparison share these figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, log2, sqrt
from statistics import NormalDist
from typing import NamedTuple

TOP = 10
"""Places of a list that count: hit rate@10 and NDCG@10."""

CONFIDENCE = 0.95


def hit(ranked: Sequence[str], course_id: str, *, k: int = TOP) -> float:
    """1.0 if the course is among the first `k` of the list, else 0.0. Its mean over events is the hit rate@k."""
    return 1.0 if course_id in ranked[:k] else 0.0


def ndcg(ranked: Sequence[str], course_id: str, *, k: int = TOP) -> float:
    """NDCG@k of a list for one course, 0..1.

    With one relevant course the ideal gain is 1, so this is 1 / log2(1 + place), the first place being 1, and 0 beyond
    place `k` (Järvelin, Kekäläinen, 2002).
    """
    for place, ranked_course in enumerate(ranked[:k], 1):
        if ranked_course == course_id:
            return gain(place)
    return 0.0


def gain(place: int, *, k: int = TOP) -> float:
    """NDCG@k of a list on which the one relevant course has this place, the first being 1; 0 beyond place `k`."""
    return 1 / log2(1 + place) if place <= k else 0.0


class Interval(NamedTuple):
    """A confidence interval; infinite where too few trials say nothing."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DecayedMean:
    """The mean of values whose weight halves every half-life. Immutable: `added` returns the next one.

    Of paired differences (figure of one model less that of another at the same event) the interval is that of the
    difference: one that leaves out 0 shows which of them is better.

    Attributes:
        half_life_ms: Time in which a weight halves, ms; None never forgets.
        as_of_ms: Event time the sums are decayed to, ms since 1970 UTC: the latest of the values.
        weight: Σ w. With a half-life, how many of the latest values it amounts to.
        squared_weight: Σ w².
        total: Σ w·x.
        squared_total: Σ w·x².
    """

    half_life_ms: float | None = None
    as_of_ms: int = 0
    weight: float = 0.0
    squared_weight: float = 0.0
    total: float = 0.0
    squared_total: float = 0.0

    def added(self, value: float, at_ms: int) -> DecayedMean:
        """With one more value.

        Args:
            value: Finite.
            at_ms: Its event time, ms since 1970 UTC; may lie before that of earlier values.
        """
        held = self.decayed_to(max(at_ms, self.as_of_ms)) if self.weight else replace(self, as_of_ms=at_ms)
        weight = _factor(self.half_life_ms, held.as_of_ms - at_ms)
        return replace(
            held,
            weight=held.weight + weight,
            squared_weight=held.squared_weight + weight * weight,
            total=held.total + weight * value,
            squared_total=held.squared_total + weight * value * value,
        )

    def decayed_to(self, at_ms: int) -> DecayedMean:
        """The same sums at a later time; the mean stays, the weight falls. A time before `as_of_ms` changes nothing."""
        if at_ms <= self.as_of_ms:
            return self
        factor = _factor(self.half_life_ms, at_ms - self.as_of_ms)
        return replace(
            self,
            as_of_ms=at_ms,
            weight=self.weight * factor,
            squared_weight=self.squared_weight * factor * factor,
            total=self.total * factor,
            squared_total=self.squared_total * factor,
        )

    @property
    def mean(self) -> float | None:
        """Weighted mean; None without a value, or where all have decayed away."""
        return self.total / self.weight if self.weight > 0 else None

    @property
    def effective_count(self) -> float:
        """(Σ w)² / Σ w²: as many equally weighted values vary as little (Kish, 1965)."""
        return self.weight * self.weight / self.squared_weight if self.squared_weight > 0 else 0.0

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """A normal interval of the mean from the weighted variance and `effective_count`.

        It takes the values for independent. Several events of one learner are not quite, so that it is rather too
        narrow; below some 30 events it is a hint.

        Args:
            confidence: 0 < confidence < 1.
        """
        mean, count = self.mean, self.effective_count
        if mean is None or count <= 1:
            return Interval(-inf, inf)
        variance = max(0.0, self.squared_total / self.weight - mean * mean) * count / (count - 1)
        half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(variance / count)
        return Interval(mean - half, mean + half)


def _factor(half_life_ms: float | None, elapsed_ms: int) -> float:
    return 1.0 if half_life_ms is None else 2.0 ** (-elapsed_ms / half_life_ms)


def paired_difference(
    first: Iterable[float], second: Iterable[float], times_ms: Iterable[int], *, half_life_ms: float | None = None
) -> DecayedMean:
    """The mean of `first` − `second` over the same events.

    Args:
        first: A figure of each event, by one model.
        second: The same events by another, in the same order.
        times_ms: Event times, ms since 1970 UTC.
        half_life_ms: As `DecayedMean`.

    Raises:
        ValueError: They are not equally many.
    """
    difference = DecayedMean(half_life_ms)
    for one, other, at_ms in zip(first, second, times_ms, strict=True):
        difference = difference.added(one - other, at_ms)
    return difference
