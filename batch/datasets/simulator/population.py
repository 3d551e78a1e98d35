"""The simulated learners: tastes that drift, activity with a heavy tail, when they joined, how they browse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batch.datasets.simulator.catalogue import LANGUAGE_SHARES, TRACKS
from batch.datasets.simulator.subjects import LANGUAGES, LEVELS, SUBJECTS

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
BROWSERS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {_SAFARI} Mobile/15E148 Safari/604.1",
    f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_WEBKIT} Mobile Safari/537.36",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Safari/537.36 Edg/131.0.0.0",
)
BROWSER_SHARES = (0.42, 0.14, 0.06, 0.16, 0.14, 0.08)
MAIN_TRACK_SHARE = 0.6
DRIFTING_SHARE = 0.4
JOINED_BEFORE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Population:
    """The learners, row by row.

    Attributes:
        taste: float, (2, learners, tracks): each row sums to 1; first before, then after `drift_ms`.
        drift_ms: int64, (learners,): when the taste changes; past the end for most.
        joined_ms: int64, (learners,): first possible session.
        activity: float, (learners,): relative number of sessions, mean 1.
        level: int, (learners,): index into `LEVELS` they feel at home with.
        language: int, (learners,): index into `LANGUAGES`; everybody reads the first, English, too.
        utc_offset_hours: int, (learners,): where they live.
        user_agent: str, (learners,): their browser.
    """

    taste: np.ndarray
    drift_ms: np.ndarray
    joined_ms: np.ndarray
    activity: np.ndarray
    level: np.ndarray
    language: np.ndarray
    utc_offset_hours: np.ndarray
    user_agent: np.ndarray


def simulate_population(rng: np.random.Generator, count: int, start_ms: int, end_ms: int) -> Population:
    """Draws `count` learners."""
    main = rng.integers(len(TRACKS), size=count)
    moved = np.where(rng.random(count) < DRIFTING_SHARE, rng.integers(len(TRACKS), size=count), main)
    drift = rng.uniform(start_ms, end_ms, size=count)
    joined = rng.uniform(start_ms, end_ms, size=count)
    joined[rng.random(count) < JOINED_BEFORE_SHARE] = start_ms
    activity = rng.lognormal(0.0, 1.0, size=count)
    return Population(
        taste=np.stack([_taste(rng, main), _taste(rng, moved)]),
        drift_ms=drift.astype(np.int64),
        joined_ms=joined.astype(np.int64),
        activity=activity / activity.mean(),
        level=rng.choice(len(LEVELS), size=count, p=(0.5, 0.35, 0.15)),
        language=rng.choice(len(LANGUAGES), size=count, p=LANGUAGE_SHARES),
        utc_offset_hours=rng.choice((-8, -5, 0, 1, 2, 5, 8), size=count),
        user_agent=rng.choice(np.array(BROWSERS, dtype=object), size=count, p=BROWSER_SHARES),
    )


def _taste(rng: np.random.Generator, main: np.ndarray) -> np.ndarray:
    """Shares of the tracks, (learners, tracks): the main one, a neighbour of its subject, one of anywhere, noise."""
    count = len(main)
    tracks_per_subject = len(next(iter(SUBJECTS.values())))
    neighbour = main // tracks_per_subject * tracks_per_subject + rng.integers(tracks_per_subject, size=count)
    elsewhere = rng.integers(len(TRACKS), size=count)
    taste = np.full((count, len(TRACKS)), 0.04 / len(TRACKS))
    rows = np.arange(count)
    np.add.at(taste, (rows, main), MAIN_TRACK_SHARE)
    np.add.at(taste, (rows, neighbour), 0.2)
    np.add.at(taste, (rows, elsewhere), 0.16)
    return np.asarray(taste / taste.sum(axis=1, keepdims=True))
