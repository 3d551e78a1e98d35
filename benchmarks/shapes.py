"""Histories of many shapes, drawn from a seed: dense, sparse, small, without text, with few instants.

Learners have a taste, courses a quality that rises and falls, and both are what a model may find; how much there is to
find differs by shape. The simulator of `batch.datasets` is for one realistic platform, this is for what it is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recsys.catalog import Course
from recsys.model.inputs import Doubles

DAY_MS = 86_400_000
START_MS = 1_600_000_000_000
_WORDS = 12
_FACTORS = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """What is drawn.

    Attributes:
        learners: How many.
        courses: Size of the catalogue; half of it is there from the start, the others come later.
        events: Mean number of events a learner.
        sessions: Mean number of sessions a learner; events of one are minutes apart.
        taste: How much taste decides beside quality.
        drift: How much the quality of courses changes over time.
        types: Event types, drawn alike.
        text: Whether courses have a text.
        instants: Distinct instants of the whole history; 0: as many as there are.
        days: Length of the history.
    """

    learners: int
    courses: int
    events: float
    sessions: float
    taste: float = 1.2
    drift: float = 1.0
    types: tuple[str, ...] = ("click",)
    text: bool = True
    instants: int = 0
    days: int = 365

    def scaled(self, factor: float) -> Shape:
        """With so many times the learners and, by its root, the courses."""
        courses = max(60, round(self.courses * min(1.0, factor) ** 0.5))
        return replace(self, learners=max(60, round(self.learners * factor)), courses=courses)


SHAPES = {
    "dense": Shape(6000, 3700, 165, 1.6, taste=1.5, drift=0.5),
    "sparse": Shape(30_000, 5000, 6, 3.0),
    "wide": Shape(12_000, 8000, 40, 8.0, types=("view", "click", "bookmark", "complete")),
    "wide, sparse": Shape(2500, 8000, 6, 3.0, types=("view", "click", "bookmark")),
    "no text": Shape(4000, 1500, 25, 5.0, text=False),
    "few instants": Shape(3000, 1000, 20, 4.0, instants=12),
    "small": Shape(130, 300, 12, 5.0, taste=0.8),
    "small, drifting": Shape(120, 400, 10, 6.0, taste=0.3, drift=2.0),
    "small, tastes": Shape(150, 250, 20, 6.0, taste=2.0, drift=0.2),
}


def draw(shape: Shape, seed: int) -> tuple[pd.DataFrame, list[Course]]:
    """Interactions in time order, as `recsys.files.read_interactions` gives them, and the catalogue."""
    rng = np.random.default_rng(seed)
    tastes = rng.normal(size=(shape.learners, _FACTORS)) * rng.gamma(2.0, 0.5, (shape.learners, 1))
    kinds = rng.normal(size=(shape.courses, _FACTORS)) / np.sqrt(_FACTORS)
    quality = _Quality(shape, rng)
    parts = [_learner(shape, tastes[row], kinds, quality, rng) for row in range(shape.learners)]
    learner = np.concatenate([np.full(len(course), row) for row, (course, _) in enumerate(parts)])
    course, time = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    if shape.instants:
        time = np.floor(time * shape.instants) / shape.instants
    order = np.argsort(time, kind="stable")
    milliseconds = START_MS + (time[order] * shape.days * DAY_MS).astype(np.int64)
    frame = pd.DataFrame(
        {
            "event_id": [f"e{number}" for number in range(len(order))],
            "user_id": np.char.add("l", learner[order].astype(str)).astype(object),
            "course_id": np.char.add("c", course[order].astype(str)).astype(object),
            "type": rng.choice(np.array(shape.types, dtype=object), len(order)),
            "timestamp": milliseconds,
            "value": np.nan,
            "session_id": None,
            "user_agent": None,
        }
    )
    return frame, _catalogue(shape, kinds, rng)


class _Quality:
    """Log quality of each course at a time in 0 … 1; −inf before its birth."""

    def __init__(self, shape: Shape, rng: np.random.Generator) -> None:
        n = shape.courses
        self._base = -0.8 * np.log1p(rng.permutation(n) / 5.0)
        self._birth = np.where(rng.random(n) < 0.5, 0.0, rng.random(n) * 0.9)
        self._wave, self._phase = rng.normal(size=n) * shape.drift, rng.random(n)

    def at(self, time: float) -> Doubles:
        moved = self._base + self._wave * np.sin(2 * np.pi * (time + self._phase))
        quality: Doubles = np.where(self._birth <= time, moved, -np.inf)
        return quality


def _learner(
    shape: Shape, taste: Doubles, kinds: Doubles, quality: _Quality, rng: np.random.Generator
) -> tuple[np.ndarray, Doubles]:
    """Courses and times of one learner, each course once."""
    total = max(1, int(rng.lognormal(np.log(shape.events) - 0.3, 0.8)))
    sessions = np.sort(rng.random(1 + rng.poisson(shape.sessions - 1.0)))
    sizes = np.maximum(rng.multinomial(total, np.full(len(sessions), 1 / len(sessions))), 0)
    liking = shape.taste * (kinds @ taste)
    free = np.ones(shape.courses, dtype=bool)
    courses, times = [], []
    for time, size in zip(sessions, sizes, strict=True):
        value = np.where(free, quality.at(float(time)) + liking, -np.inf) + rng.gumbel(size=shape.courses)
        count = min(int(size), int(np.isfinite(value).sum()))
        if count:
            chosen = np.argpartition(-value, count - 1)[:count]
            free[chosen] = False
            courses.append(chosen)
            times.append(time + np.arange(count) * 3.0 / (24 * 60 * shape.days))
    if not courses:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(courses), np.minimum(np.concatenate(times), 1.0)


def _catalogue(shape: Shape, kinds: Doubles, rng: np.random.Generator) -> list[Course]:
    """Titles tell the strongest factors of a course, with some words that tell nothing."""
    found = []
    for row, kind in enumerate(kinds):
        words = [f"topic{factor}{'up' if kind[factor] > 0 else 'down'}" for factor in np.argsort(-np.abs(kind))[:3]]
        words += [f"filler{word}" for word in rng.integers(0, 60, _WORDS - len(words))]
        found.append(
            Course(
                course_id=f"c{row}",
                title=words[0] if shape.text else f"{row}",
                intro=" ".join(words) if shape.text else "",
                category=words[0] if shape.text else "",
            )
        )
    return found
