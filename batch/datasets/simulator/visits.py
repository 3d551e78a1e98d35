"""Sessions and the courses looked at in them: who, which course, when, and how well it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from batch.datasets.simulator.catalogue import TRACKS, SimulatedCatalogue
from batch.datasets.simulator.population import Population

MS_PER_HOUR = 3_600_000
MS_PER_DAY = 24 * MS_PER_HOUR
MS_PER_WEEK = 7 * MS_PER_DAY
SESSIONS_PER_DAY = 0.135
COURSES_PER_SESSION = 2.6
BROWSING_SHARE = 0.15
NEW_RELEASE_BOOST = 3.0
HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 8, 8, 8, 9, 10, 12, 14, 15, 13, 8, 4], dtype=float)


@dataclass(frozen=True, slots=True)
class Visits:
    """One row a look at a course.

    Attributes:
        learner: int, (visits,): row of the population.
        course: int, (visits,): row of the catalogue.
        timestamp: int64, (visits,): ms since 1970 UTC.
        fit: float in 0..1, (visits,): how well the course suits the learner.
    """

    learner: np.ndarray
    course: np.ndarray
    timestamp: np.ndarray
    fit: np.ndarray


def simulate_visits(
    rng: np.random.Generator,
    people: Population,
    catalogue: SimulatedCatalogue,
    period: tuple[int, int],
    on_progress: Callable[[float], None],
) -> Visits:
    """Draws sessions week by week: the courses there are and how popular they are change from week to week."""
    start_ms, end_ms = period
    drift = rng.normal(0.0, 1.0, size=(2, len(catalogue.quality)))
    weeks = []
    for week_ms in range(start_ms, end_ms, MS_PER_WEEK):
        upto_ms = min(week_ms + MS_PER_WEEK, end_ms)
        learner, timestamp = _sessions(rng, people, week_ms, upto_ms)
        looks = 1 + rng.poisson(COURSES_PER_SESSION - 1, size=len(learner))
        weights = _course_weights(catalogue, drift, week_ms, upto_ms, period)
        slots = np.repeat(learner, looks), np.repeat(timestamp, looks)
        weeks.append(_looks(rng, people, catalogue, weights, slots))
        on_progress((upto_ms - start_ms) / (end_ms - start_ms))
    columns = [np.concatenate(parts) for parts in zip(*weeks, strict=True)]
    return Visits(*columns)


def _sessions(
    rng: np.random.Generator, people: Population, week_ms: int, upto_ms: int
) -> tuple[np.ndarray, np.ndarray]:
    """(learner, start) of this week's sessions; the hour follows the learner's own clock."""
    days = np.clip(upto_ms - np.maximum(people.joined_ms, week_ms), 0, None) / MS_PER_DAY
    learner = np.repeat(np.arange(len(people.activity)), rng.poisson(people.activity * SESSIONS_PER_DAY * days))
    day = rng.uniform(np.maximum(people.joined_ms[learner], week_ms), upto_ms) // MS_PER_DAY
    hour = rng.choice(24, size=len(learner), p=HOURS / HOURS.sum()) - people.utc_offset_hours[learner]
    start = day * MS_PER_DAY + (hour % 24 + rng.random(len(learner))) * MS_PER_HOUR
    inside = (start >= np.maximum(people.joined_ms[learner], week_ms)) & (start < upto_ms)
    return learner[inside], start[inside].astype(np.int64)


def _course_weights(
    catalogue: SimulatedCatalogue, drift: np.ndarray, week_ms: int, upto_ms: int, period: tuple[int, int]
) -> np.ndarray:
    """Popularity of the week, (courses,): quality on a wave of fashion, more when new, nothing before release."""
    elapsed = (week_ms - period[0]) / max(period[1] - period[0], 1)
    fashion = np.exp(0.5 * (drift[0] * np.cos(np.pi * elapsed) + drift[1] * np.sin(np.pi * elapsed)))
    age_weeks = (upto_ms - catalogue.released_ms) / MS_PER_WEEK
    launched = catalogue.released_ms > period[0]
    news = np.where(launched, 1.0 + NEW_RELEASE_BOOST * np.exp(-np.clip(age_weeks, 0, None) / 3.0), 1.0)
    return np.asarray(catalogue.quality * fashion * news * (catalogue.released_ms < upto_ms))


def _looks(
    rng: np.random.Generator,
    people: Population,
    catalogue: SimulatedCatalogue,
    weights: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, ...]:
    """Fills the slots (learner, session start) with courses; those a learner would pass over are left out."""
    learner, start = slots
    taste = people.taste[(start >= people.drift_ms[learner]).astype(int), learner]
    track = (taste.cumsum(axis=1) < rng.random(len(learner))[:, None]).sum(axis=1).clip(max=len(TRACKS) - 1)
    browsing = rng.random(len(learner)) < BROWSING_SHARE
    course = np.where(browsing, _draw(rng, weights, len(learner)), _draw_by_track(rng, catalogue, weights, track))
    timestamp = start + (rng.random(len(learner)) * 0.5 * MS_PER_HOUR).astype(np.int64)
    affinity = taste[np.arange(len(learner)), np.maximum(catalogue.track[course], 0)]
    level_gap = np.abs(people.level[learner] - catalogue.level[course])
    foreign = (catalogue.language[course] != 0) & (catalogue.language[course] != people.language[learner])
    fit = np.clip(0.25 + 0.9 * affinity, 0, 1) * np.array([1.0, 0.7, 0.4])[level_gap] * np.where(foreign, 0.1, 1.0)
    kept = (course >= 0) & (catalogue.released_ms[course] <= timestamp) & (rng.random(len(learner)) < 0.35 + fit)
    return learner[kept], course[kept], timestamp[kept], fit[kept]


def _draw(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    cumulative = weights.cumsum()
    if not len(weights) or cumulative[-1] <= 0:
        return np.full(count, -1)
    return np.asarray(np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right"))


def _draw_by_track(
    rng: np.random.Generator, catalogue: SimulatedCatalogue, weights: np.ndarray, track: np.ndarray
) -> np.ndarray:
    course = np.full(len(track), -1)
    for one in np.unique(track):
        rows = np.flatnonzero(track == one)
        near = (catalogue.track == one) + 0.15 * (catalogue.side_track == one)
        course[rows] = _draw(rng, weights * near, len(rows))
    return course
