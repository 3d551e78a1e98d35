"""Recommenders that learn from every event at once: what a trained model is compared with prequentially.

Each is told of a learner's first touch of a course, and scores the whole catalogue for a learner. NumPy only.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import islice, product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.prequential import TOP

Scores = NDArray[np.float64]

RATES, NEGATIVES = (0.05, 0.2, 0.5), (0, 3)
TUNED_ON, EVERY = 60_000, 8
"""First touches that ISGD is tuned on, and how many of their last quarter are judged: each eighth."""

HISTORY = 50
"""The latest courses of a learner that item-kNN looks at."""


class Rival(Protocol):
    """A recommender that is updated event by event."""

    def learn(self, user: int, course: int, before: Sequence[int], at_ms: int) -> None:
        """A learner touches a course for the first time, after those `before`."""
        ...

    def scores(self, user: int, before: Sequence[int]) -> Scores:
        """Scores of all courses `(n,)`, higher is better."""
        ...


class DecayedPopularity:
    """First touches, of which one of a half-life ago counts half.

    Args:
        courses: Size of the catalogue.
        half_life_ms: ms.
    """

    def __init__(self, courses: int, half_life_ms: float) -> None:
        self._sums, self._at_ms, self._half_life_ms = np.zeros(courses), 0, half_life_ms

    def learn(self, user: int, course: int, before: Sequence[int], at_ms: int) -> None:
        """See `Rival`; times do not fall."""
        if at_ms > self._at_ms:
            self._sums *= 2.0 ** ((self._at_ms - at_ms) / self._half_life_ms) if self._at_ms else 1.0
            self._at_ms = at_ms
        self._sums[course] += 1.0

    def scores(self, user: int, before: Sequence[int]) -> Scores:
        """See `Rival`."""
        return self._sums


class ItemKnn:
    """Item-kNN by cosine of co-occurrence, counted event by event (Sarwar, Karypis, Konstan, Riedl, 2001).

    Args:
        courses: Size of the catalogue.
    """

    def __init__(self, courses: int) -> None:
        self._together, self._alone = np.zeros((courses, courses), np.float32), np.zeros(courses)

    def learn(self, user: int, course: int, before: Sequence[int], at_ms: int) -> None:
        """See `Rival`."""
        self._alone[course] += 1
        if before:
            rows = np.asarray(before)
            self._together[course, rows] += 1
            self._together[rows, course] += 1

    def scores(self, user: int, before: Sequence[int]) -> Scores:
        """See `Rival`."""
        latest = np.asarray(before[-HISTORY:], dtype=np.intp)
        if not len(latest):
            return self._alone  # nothing is known: the most popular
        length = np.sqrt(np.maximum(self._alone, 1.0))
        similar: Scores = (self._together[latest] / length[latest, None]).sum(axis=0, dtype=np.float64) / length
        return similar


class Isgd:
    """Incremental matrix factorisation of positive feedback (Vinagre, Jorge, Gama: ISGD, UMAP 2014).

    One step of stochastic gradient descent an event: the product of learner and course shall be 1. Before it, that of
    the learner and the courses which nobody has touched for longest shall be 0 (their recency-based negative feedback,
    SAC 2015); without these, all products rise towards 1. Courses are ranked by the product.

    Args:
        users: Learners.
        courses: Size of the catalogue.
        rate: Learning rate.
        negatives: Courses pushed to 0 an event.
        factors: Of each.
        penalty: Of the squared factors.
        seed: Of what the factors begin with.
    """

    def __init__(
        self,
        users: int,
        courses: int,
        *,
        rate: float,
        negatives: int,
        factors: int = 32,
        penalty: float = 0.01,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self._users = rng.normal(scale=0.1, size=(users, factors))
        self._courses = rng.normal(scale=0.1, size=(courses, factors))
        self._rate, self._penalty, self._negatives = rate, penalty, negatives
        self._by_recency = OrderedDict.fromkeys(range(courses))

    def learn(self, user: int, course: int, before: Sequence[int], at_ms: int) -> None:
        """See `Rival`."""
        forgotten = list(islice(self._by_recency, self._negatives))
        for other in forgotten:
            self._step(user, other, 0.0)
            self._by_recency.move_to_end(other)
        self._step(user, course, 1.0)
        self._by_recency.move_to_end(course)

    def _step(self, user: int, course: int, target: float) -> None:
        of_user, of_course = self._users[user], self._courses[course]
        error = target - of_user @ of_course
        step = self._rate * (error * of_course - self._penalty * of_user)
        of_course += self._rate * (error * of_user - self._penalty * of_course)
        of_user += step

    def scores(self, user: int, before: Sequence[int]) -> Scores:
        """See `Rival`."""
        products: Scores = self._courses @ self._users[user]
        return products


def tuned_isgd(
    touches: Sequence[tuple[int, int]], users: int, courses: int, *, rates: Sequence[float] = RATES
) -> dict[str, float | int]:
    """The best of a few settings of `Isgd` by hit rate@10 on the last quarter of first touches, each predicted first.

    Args:
        touches: Learner and course as rows, in order of time; the last `TUNED_ON` are looked at.
        users: Learners.
        courses: Size of the catalogue.
        rates: Learning rates tried; one at which the factors diverge is never the best.
    """
    latest = touches[-TUNED_ON:]
    judged = range(3 * len(latest) // 4, len(latest), EVERY)
    best, most = dict[str, float | int](), -1.0
    for rate, negatives in product(rates, NEGATIVES):
        with np.errstate(all="ignore"):  # a rate that is too high for this history
            hits = _hits(Isgd(users, courses, rate=rate, negatives=negatives), latest, judged)
        if hits > most:
            best, most = {"rate": rate, "negatives": negatives}, hits
    return best


def _hits(rival: Isgd, touches: Sequence[tuple[int, int]], judged: range) -> int:
    hits, before = 0, defaultdict[int, list[int]](list)
    for number, (user, course) in enumerate(touches):
        if number in judged:
            scores = rival.scores(user, ()).copy()
            scores[before[user]] = -np.inf
            place = int(np.count_nonzero(~(scores < scores[course])))  # of factors that diverged: the last
            hits += place <= TOP
        rival.learn(user, course, (), 0)
        before[user].append(course)
    return hits
