"""The monitor's running figures: hit rate and NDCG of each kind of list, their differences, and drift. Pure.

Each is kept over two windows, an hour and a day of arrival time, in which older trials fade exponentially.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.prequential import DecayedMean, Interval

HOUR_MS = 3_600_000
WINDOWS: Mapping[str, float] = MappingProxyType({"hour": HOUR_MS, "day": 24 * HOUR_MS})
"""Name → half-life, ms."""

CACHED, MODEL, POPULARITY = "cached", "model", "popularity"
LISTS = (CACHED, MODEL, POPULARITY)
RIVAL = POPULARITY


class Score(NamedTuple):
    """How a list did at one event: hit@10 and NDCG@10."""

    hit: float
    ndcg: float


@dataclass(slots=True)
class Figures:
    """Running means of each (list, figure, window), and of the paired difference of its NDCG to popularity's.

    A list that could not be judged at an event is left out of its mean and of its difference there.
    """

    _means: dict[tuple[str, str, str], DecayedMean] = field(default_factory=dict)

    def add(self, scores: Mapping[str, Score], at_ms: int) -> None:
        """One event.

        Args:
            scores: List → its score, of those that were judged.
            at_ms: Arrival of the event, ms since 1970 UTC.
        """
        for name, score in scores.items():
            for figure, value in zip(Score._fields, score, strict=True):
                self._add((name, figure), value, at_ms)
            if name != RIVAL and RIVAL in scores:
                self._add((name, "gain"), score.ndcg - scores[RIVAL].ndcg, at_ms)

    def mean(self, name: str, figure: str, window: str) -> float:
        """The mean of `hit`, `ndcg` or `gain` (NDCG less popularity's at the same events); NaN without a trial."""
        mean = self._of(name, figure, window).mean
        return float("nan") if mean is None else mean

    def gain_interval(self, name: str, window: str) -> Interval:
        """95 % interval of the gain in NDCG over popularity."""
        return self._of(name, "gain", window).interval()

    def trials(self, name: str, window: str, at_ms: int) -> float:
        """How many events the window amounts to at a time, faded ones counted as what they weigh."""
        return self._of(name, "hit", window).decayed_to(at_ms).weight

    def _add(self, of: tuple[str, str], value: float, at_ms: int) -> None:
        for window, half_life_ms in WINDOWS.items():
            held = self._means.get((*of, window), DecayedMean(half_life_ms))
            self._means[(*of, window)] = held.added(value, at_ms)

    def _of(self, name: str, figure: str, window: str) -> DecayedMean:
        return self._means.get((name, figure, window), DecayedMean(WINDOWS[window]))


@dataclass(slots=True)
class Drift:
    """How the last hour differs from the last day: in what the model says, and in what learners choose.

    Begins anew with each version of the model: neither scores nor vectors of two versions compare.
    """

    version: str = ""
    _scores: dict[str, DecayedMean] = field(default_factory=dict)
    _vectors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _as_of_ms: int = 0

    def add(self, version: str, scores: Sequence[float], vector: NDArray[np.float32] | None, at_ms: int) -> None:
        """One event.

        Args:
            version: The model's.
            scores: Of the list that it ranked; finite.
            vector: Of the course that was chosen `(d,)`; None where the model has none.
            at_ms: Arrival of the event, ms since 1970 UTC.
        """
        if version != self.version:
            self.version, self._scores, self._vectors, self._as_of_ms = version, {}, {}, at_ms
        elapsed = max(0, at_ms - self._as_of_ms)
        self._as_of_ms += elapsed
        for window, half_life_ms in WINDOWS.items():
            if len(scores):
                held = self._scores.get(window, DecayedMean(half_life_ms))
                self._scores[window] = held.added(float(np.mean(scores)), at_ms)
            if vector is not None:
                before = self._vectors.get(window)
                faded = 0.0 if before is None else before * 2.0 ** (-elapsed / half_life_ms)
                self._vectors[window] = faded + vector.astype(np.float64)

    @property
    def score_shift(self) -> float:
        """Mean score of the hour's lists less the day's, in standard deviations of the day's; 0 while not known."""
        hour, day = self._scores.get("hour"), self._scores.get("day")
        if hour is None or day is None or hour.mean is None or day.mean is None:
            return 0.0
        deviation = sqrt(max(0.0, day.squared_total / day.weight - day.mean**2))
        return (hour.mean - day.mean) / deviation if deviation > 0 else 0.0

    @property
    def embedding_shift(self) -> float:
        """1 − the cosine between the mean vectors of the courses chosen in the hour and the day; 0 while not known."""
        hour, day = self._vectors.get("hour"), self._vectors.get("day")
        if hour is None or day is None:
            return 0.0
        length = float(np.linalg.norm(hour) * np.linalg.norm(day))
        return 1 - float(hour @ day) / length if length > 0 else 0.0
