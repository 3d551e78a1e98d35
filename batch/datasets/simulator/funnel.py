"""From visits to events: view → click → play → progress → enroll → complete and rate, or dismiss.

Each step is taken with a probability that grows with the fit; an enrolled course is continued on later days, with
rising progress, until it is completed or given up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batch.datasets.simulator.visits import MS_PER_DAY, Visits

MAX_CONTINUATIONS = 5
BOOKMARK_SHARE = 0.08
RATING_SHARE = 0.5
UNENROLL_SHARE = 0.03
SECOND = 1000


@dataclass(frozen=True, slots=True)
class Events:
    """One row an event; arrays of one length. `learner` and `course` are row numbers, `value` is NaN where absent."""

    learner: np.ndarray
    course: np.ndarray
    timestamp: np.ndarray
    type: np.ndarray
    value: np.ndarray

    @classmethod
    def joined(cls, parts: list[Events]) -> Events:
        """All rows of the parts."""
        names = cls.__slots__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def rows(self, chosen: np.ndarray) -> Events:
        """The rows an index or mask chooses."""
        return Events(*(getattr(self, name)[chosen] for name in self.__slots__))


def simulate_events(rng: np.random.Generator, visits: Visits, quality: np.ndarray) -> Events:
    """Draws what learners did with the courses they looked at, in no particular order.

    Args:
        rng: Where the chance comes from.
        visits: Who looked at what.
        quality: float, (courses,): better courses are finished more often and rated higher.
    """
    count, fit = len(visits.fit), visits.fit
    good = quality[visits.course] / (1.0 + quality[visits.course])
    clicked = rng.random(count) < 0.25 + 0.65 * fit
    played = clicked & (rng.random(count) < 0.5 + 0.4 * fit)
    bookmarked = clicked & (rng.random(count) < BOOKMARK_SHARE)
    enrolled = played & (rng.random(count) < 0.45 * fit)
    dismissed = ~clicked & (rng.random(count) < 0.10 * (1 - fit))
    clock = visits.timestamp + _seconds(rng, count, 15)
    after_click = clock + _seconds(rng, count, 20)
    watched = _seconds(rng, count, 400)
    share = rng.beta(1.2, 2.5, size=count)
    nothing = np.full(count, np.nan)
    parts = [
        _events(visits, np.ones(count, dtype=bool), "view", visits.timestamp, nothing),
        _events(visits, dismissed, "dismiss", clock, nothing),
        _events(visits, clicked, "click", clock, nothing),
        _events(visits, bookmarked, "bookmark", after_click, nothing),
        _events(visits, played, "play", after_click, np.round(watched / SECOND, 1)),
        _events(visits, played, "progress", after_click + watched, np.round(share, 3)),
        _events(visits, enrolled, "enroll", after_click + watched + _seconds(rng, count, 30), nothing),
    ]
    parts += _continuations(rng, visits, np.flatnonzero(enrolled), share, good)
    return Events.joined(parts)


def _continuations(
    rng: np.random.Generator, visits: Visits, rows: np.ndarray, share: np.ndarray, good: np.ndarray
) -> list[Events]:
    """Later days with an enrolled course: play and progress, and at the end complete and perhaps rate."""
    parts, done = [], share[rows]
    clock = visits.timestamp[rows].astype(np.int64)
    for _ in range(MAX_CONTINUATIONS):
        stays = (done < 1.0) & (rng.random(len(rows)) < 0.55 + 0.35 * good[rows])
        rows, done, clock = rows[stays], done[stays], clock[stays]
        clock = clock + (rng.gamma(2.0, 0.8, size=len(rows)) * MS_PER_DAY).astype(np.int64)
        watched = _seconds(rng, len(rows), 1200)
        done = np.minimum(1.0, done + rng.uniform(0.1, 0.6, size=len(rows)))
        later = Visits(visits.learner[rows], visits.course[rows], clock, visits.fit[rows])
        finished = done >= 1.0
        rated = finished & (rng.random(len(rows)) < RATING_SHARE)
        gave_up = ~finished & (rng.random(len(rows)) < UNENROLL_SHARE)
        stars = np.clip(np.round(1.5 + 2.0 * good[rows] + 1.8 * later.fit + rng.normal(0, 0.6, len(rows))), 1, 5)
        nothing, end = np.full(len(rows), np.nan), clock + watched
        parts += [
            _events(later, np.ones(len(rows), dtype=bool), "play", clock, np.round(watched / SECOND, 1)),
            _events(later, np.ones(len(rows), dtype=bool), "progress", end, np.round(done, 3)),
            _events(later, finished, "complete", end + SECOND, nothing),
            _events(later, rated, "rate", end + _seconds(rng, len(rows), 60), stars),
            _events(later, gave_up, "unenroll", end + SECOND, nothing),
        ]
    return parts


def _events(visits: Visits, chosen: np.ndarray, kind: str, timestamp: np.ndarray, value: np.ndarray) -> Events:
    kinds = np.full(int(chosen.sum()), kind, dtype=object)
    return Events(visits.learner[chosen], visits.course[chosen], timestamp[chosen], kinds, value[chosen])


def _seconds(rng: np.random.Generator, count: int, typical: float) -> np.ndarray:
    """Waiting times in ms, log-normal around `typical` seconds, at least one second."""
    return np.maximum(rng.lognormal(np.log(typical), 0.7, size=count) * SECOND, SECOND).astype(np.int64)
