"""Models with drawn weights and learners with drawn engagement: as large as real ones, without any training."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, ForwardDecay
from recsys.model.bundle import Draft, write_bundle
from recsys.model.course_features import NAMES
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.hyperparameters import HyperParameters
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.scorer import Learner
from recsys.model.signals import ITEM_ITEM, SIGNALS
from recsys.vocabulary import DEFAULT_WEIGHTS

HALF_LIFE_DAYS = 30.0
MOST_COURSES = 200
DONE_SHARE = 0.25
LINEAR_LINKS = 100
HIDDEN = 24
"""Units of the mixer's network, as `batch.ranking.mixer` trains it (which imports TensorFlow)."""

YEAR_MS = 365 * 86_400_000


def draw_bundle(models_dir: Path, *, courses: int, users: int = 0, linear: bool = False) -> Path:
    """Writes a bundle of default size, as a retrain does, and returns its folder.

    Args:
        models_dir: Where.
        courses: Courses `c0`, `c1`, … in the catalogue.
        users: Learners `u0`, `u1`, … with an embedding of their own.
        linear: Draw one of format 1, as baselines have it, instead of one with a ranker.
    """
    hyper, rng = HyperParameters(), np.random.default_rng(0)
    arrays = _linear(hyper, courses, users, rng) if linear else _ranker(hyper, courses, users, rng)
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


def _towers(hyper: HyperParameters, courses: int, users: int, pools: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the towers' arrays, with so many pools of the history beside the user's embedding."""
    d = hyper.vector_dim
    return {
        "course_vectors": (courses, d),
        "course_bias": (courses,),
        "history_vectors": (courses, d),
        "user_embeddings": (users + 1, hyper.user_dim),
        "hidden_kernel": (pools * d + STRENGTH_DIM + hyper.user_dim, hyper.hidden),
        "hidden_bias": (hyper.hidden,),
        "output_kernel": (hyper.hidden, d),
        "output_bias": (d,),
    }


def _linear(hyper: HyperParameters, courses: int, users: int, rng: np.random.Generator) -> dict[str, Any]:
    arrays = _normal(_towers(hyper, courses, users, pools=1), rng)
    return arrays | _links("wide", LINEAR_LINKS, courses, rng)


def _ranker(hyper: HyperParameters, courses: int, users: int, rng: np.random.Generator) -> dict[str, Any]:
    """Every row of the item-item matrices has as many weights as are kept at most: no real bundle costs more."""
    members, width = hyper.members, len(SIGNALS) + len(NAMES)
    arrays = _normal(
        {
            **_towers(hyper, courses, users, pools=POOLS),
            "features": (courses, len(NAMES)),
            "newcomer_weights": (len(NAMES),),
            "context_mean": (STRENGTH_DIM,),
            "mixer_weights": (members, width),
            "mixer_hidden_kernel": (members, STRENGTH_DIM, HIDDEN),
            "mixer_hidden_bias": (members, HIDDEN),
            "mixer_output_kernel": (members, HIDDEN, width),
            "mixer_output_bias": (members, width),
        },
        rng,
    )
    arrays["context_scale"] = np.ones(STRENGTH_DIM, np.float32)
    for name in ITEM_ITEM:
        arrays |= _links(name, min(hyper.neighbours, courses), courses, rng)
    return arrays


def _normal(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, Any]:
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _links(name: str, links: int, courses: int, rng: np.random.Generator) -> dict[str, Any]:
    """An item-item matrix with so many weights a row."""
    return {
        f"{name}_indptr": np.arange(courses + 1, dtype=np.int64) * links,
        f"{name}_indices": rng.integers(0, courses, courses * links).astype(np.int32),
        f"{name}_weights": rng.normal(size=courses * links).astype(np.float32),
    }


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
