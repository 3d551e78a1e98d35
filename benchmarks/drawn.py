"""Models with drawn weights and learners with drawn engagement: as large as real ones, without any training."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, ForwardDecay
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.scorer import Learner
from recsys.vocabulary import DEFAULT_WEIGHTS

HALF_LIFE_DAYS = 30.0
MOST_COURSES = 200
DONE_SHARE = 0.25
YEAR_MS = 365 * 86_400_000


def draw_bundle(models_dir: Path, *, courses: int, users: int = 0, links: int = 0) -> Path:
    """Writes a bundle of default size and returns its folder.

    Args:
        models_dir: Where.
        courses: Courses `c0`, `c1`, … in the catalogue.
        users: Learners `u0`, `u1`, … with an embedding of their own.
        links: Item-item weights of a course; 0 leaves that part out.
    """
    hyper, rng = HyperParameters(), np.random.default_rng(0)
    d, width = hyper.vector_dim, hyper.user_dim + hyper.vector_dim + STRENGTH_DIM
    shapes = {
        "course_vectors": (courses, d),
        "course_bias": (courses,),
        "history_vectors": (courses, d),
        "user_embeddings": (users + 1, hyper.user_dim),
        "hidden_kernel": (width, hyper.hidden),
        "hidden_bias": (hyper.hidden,),
        "output_kernel": (hyper.hidden, d),
        "output_bias": (d,),
        "wide_weights": (courses * links,),
    }
    arrays: dict[str, Any] = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["wide_indptr"] = np.arange(courses + 1, dtype=np.int64) * links
    arrays["wide_indices"] = rng.integers(0, courses, courses * links).astype(np.int32)
    table = EngagementTable(half_life_days=HALF_LIFE_DAYS, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS))
    draft = Draft(
        parent=None,
        created_at_ms=time.time_ns() // 1_000_000,
        data=DataRange(source="drawn", events=0, first_ms=0, last_ms=0),
        settings=hyper,
        engagement=table,
        metrics={},
        users=[f"u{number}" for number in range(users)],
        courses=[
            Course(course_id=f"c{row}", title=f"Course {row} of the catalogue", category=f"k{row % 20}")
            for row in range(courses)
        ],
        arrays=arrays,
    )
    return write_bundle(models_dir, draft)


def draw_learners(count: int, *, courses: int, at_ms: int, seed: int = 0) -> list[Learner]:
    """Learners `u0`, `u1`, … as public logs have them.

    Half of them touched 7 courses or fewer, the mean is 12, one in a hundred has more than 75 (log-normal); popular
    courses are touched more often, some within a year and a quarter of them done.

    Args:
        count: How many.
        courses: Courses in the catalogue.
        at_ms: Now, ms since 1970 UTC.
        seed: Of everything random.
    """
    rng, decay = random.Random(seed), ForwardDecay(HALF_LIFE_DAYS)
    learners = []
    for number in range(count):
        touched = [
            f"c{int(rng.random() ** 2 * courses)}"
            for _ in range(min(MOST_COURSES, 1 + int(rng.lognormvariate(2.0, 1.0))))
        ]
        sums = {
            course: decay.stored(rng.choice((1, 5, 10)), at_ms - rng.randrange(365 * 86_400_000)) for course in touched
        }
        done = frozenset(course for course in sums if rng.random() < DONE_SHARE)
        learners.append(Learner(f"u{number}", sums, done))
    return learners
