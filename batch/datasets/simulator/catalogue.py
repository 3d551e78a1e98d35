"""A simulated catalogue: titles, intros and skills that say what a course is about, and when it was released."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.datasets.simulator.subjects import CLOSINGS, LANGUAGES, LEVELS, MIDDLES, OPENINGS, SUBJECTS, TITLES
from recsys.catalog import Course
from recsys.files import course_frame

TRACKS: tuple[tuple[str, str], ...] = tuple(
    (subject, track) for subject, tracks in SUBJECTS.items() for track in tracks
)
"""The latent topics: (subject, track)."""

LEVEL_SHARES = (0.5, 0.32, 0.18)
LANGUAGE_SHARES = (0.88, 0.06, 0.03, 0.03)
RELEASED_BEFORE_SHARE = 0.7
MAX_SKILLS = 5


@dataclass(frozen=True, slots=True)
class SimulatedCatalogue:
    """Courses with what the learners of the simulation know about them and a model does not.

    Attributes:
        courses: As `recsys.files.read_courses` gives it, one row a course.
        track: int, (courses,): index into `TRACKS`.
        side_track: int, (courses,): a second, weaker topic.
        quality: float > 0, (courses,): how much learners like it, all else equal; heavy-tailed.
        released_ms: int64, (courses,): nobody sees it earlier.
        level: int, (courses,): index into `LEVELS`.
        language: int, (courses,): index into `LANGUAGES`.
    """

    courses: pd.DataFrame
    track: np.ndarray
    side_track: np.ndarray
    quality: np.ndarray
    released_ms: np.ndarray
    level: np.ndarray
    language: np.ndarray


def simulate_catalogue(rng: np.random.Generator, count: int, start_ms: int, end_ms: int) -> SimulatedCatalogue:
    """Draws `count` courses; most are there at the start, the rest are released during the period."""
    popularity = rng.permutation(1.0 / (np.arange(len(TRACKS)) + 4.0))
    track = rng.choice(len(TRACKS), size=count, p=popularity / popularity.sum())
    level = rng.choice(len(LEVELS), size=count, p=LEVEL_SHARES)
    language = rng.choice(len(LANGUAGES), size=count, p=LANGUAGE_SHARES)
    released = rng.uniform(start_ms, end_ms, size=count)
    released[rng.random(count) < RELEASED_BEFORE_SHARE] = start_ms
    titles: Counter[str] = Counter()
    courses = [
        _course(rng, number, int(track[number]), int(level[number]), int(language[number]), titles)
        for number in range(count)
    ]
    return SimulatedCatalogue(
        courses=course_frame(courses),
        track=track,
        side_track=rng.integers(len(TRACKS), size=count),
        quality=rng.lognormal(0.0, 0.8, size=count),
        released_ms=released.astype(np.int64),
        level=level,
        language=language,
    )


def _course(
    rng: np.random.Generator, number: int, track: int, level: int, language: int, titles: Counter[str]
) -> Course:
    subject, track_name = TRACKS[track]
    pool = SUBJECTS[subject][track_name]
    skills = tuple(pool[i] for i in rng.permutation(len(pool))[: rng.integers(3, MAX_SKILLS + 1)])
    words = {"main": skills[0], "second": skills[1], "third": skills[2], "track": track_name, "subject": subject}
    title = _one_of(rng, TITLES[LEVELS[level]]).format(**words)
    titles[title] += 1
    sentences = (_one_of(rng, OPENINGS), _one_of(rng, MIDDLES), _one_of(rng, CLOSINGS[LEVELS[level]]))
    return Course(
        course_id=f"course-{number + 1:04d}",
        title=title if titles[title] == 1 else f"{title}, Part {titles[title]}",
        intro=" ".join(sentence.format(**words) for sentence in sentences),
        skills=skills,
        category=subject,
        level=LEVELS[level],
        language=LANGUAGES[language],
    )


def _one_of(rng: np.random.Generator, texts: tuple[str, ...]) -> str:
    return texts[int(rng.integers(len(texts)))]
