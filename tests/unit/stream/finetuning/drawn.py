"""A small hybrid bundle whose weights are drawn, and a stream of clicks whose taste a model can learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys.catalog import Course
from recsys.course_sums.activity import Terms, activity, added, untouched
from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.events import Interaction, encode
from recsys.model.bundle import Draft
from recsys.model.course_features import NAMES, course_features
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.hyperparameters import HyperParameters
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.mixed_affinity import ACTIVITY
from recsys.model.ranking_lists import CURVATURE
from recsys.model.signals import ITEM_ITEM, SIGNALS
from recsys.model.text import COMPONENTS, TFIDF_FILE, TextModel
from recsys.vocabulary import DEFAULT_WEIGHTS
from stream.finetuning.blocks import Block, BlockId, LogRecord
from stream.finetuning.gate import GateRules
from stream.finetuning.new_courses import NewCourseRules
from stream.finetuning.rules import LearningRules

N_COURSES = 40
START_MS = 1_700_000_000_000
SETTINGS = HyperParameters(vector_dim=8, user_dim=4, hidden=16, text_dim=6, history_length=5)
LEARNING = LearningRules(
    rank=3,
    fresh=8,
    draws=15,
    reservoir=64,
    of_a_block=64,
    of_a_course=16,
    held=20,
    sample=20,
    refresh_growth=2.0,
    matrices_every=1,
    snapshots=2,
    snapshot_learners=10,
    least_lists=5,
    new_courses=NewCourseRules(rows=2, events=6, learners=3, days=1.0, watched=5, offered=8),
    gate=GateRules(events=40, moved=0.01, rejections=2),
)
LINKS, MEMBERS, UNITS = 4, 2, 3
SUBJECTS = ("streaming", "painting", "chemistry")


def course_of(number: int, course_id: str = "") -> Course:
    """Of the subject `number % 3`."""
    title = f"Course {number} {SUBJECTS[number % 3]}"
    return Course(course_id=course_id or f"c{number}", title=title, retired=not course_id and number == 7)


def hybrid(*, seen_until: int = 0, live: bool = False, text: bool = False, more: Sequence[Course] = ()) -> Draft:
    """A hybrid model of drawn weights, trained on the first `seen_until` offsets of partition 0.

    A `live` one says what its course features are made of, and how much its lists said of each weight. It has a `text`
    then, too; `more` are courses behind its 40.
    """
    rng, n, d, width = np.random.default_rng(0), N_COURSES + len(more), SETTINGS.vector_dim, len(SIGNALS) + len(NAMES)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    arrays = {
        "course_vectors": normal(n, d),
        "course_bias": normal(n),
        "history_vectors": normal(n, d),
        "user_embeddings": normal(3, SETTINGS.user_dim),
        "hidden_kernel": normal(POOLS * d + STRENGTH_DIM + SETTINGS.user_dim, SETTINGS.hidden),
        "hidden_bias": normal(SETTINGS.hidden),
        "output_kernel": normal(SETTINGS.hidden, d),
        "output_bias": normal(d),
        "features": normal(n, len(NAMES)) * 0.1,
        "newcomer_weights": normal(len(NAMES)),
        "context_mean": np.zeros(STRENGTH_DIM, np.float32),
        "context_scale": np.ones(STRENGTH_DIM, np.float32),
        "mixer_weights": np.full((MEMBERS, width), 0.5, np.float32),
        "mixer_hidden_kernel": normal(MEMBERS, STRENGTH_DIM, UNITS) * 0.1,
        "mixer_hidden_bias": normal(MEMBERS, UNITS) * 0.1,
        "mixer_output_kernel": normal(MEMBERS, UNITS, width) * 0.1,
        "mixer_output_bias": normal(MEMBERS, width) * 0.1,
    }
    for name in ITEM_ITEM:
        arrays[f"{name}_indptr"] = np.arange(n + 1, dtype=np.int64) * LINKS
        arrays[f"{name}_indices"] = rng.integers(0, n, n * LINKS).astype(np.int32)
        arrays[f"{name}_weights"] = normal(n * LINKS)
    documents = {}
    if live or text:
        features = _features(n)
        arrays |= features if live else {name: features[name] for name in ("feature_mean", "feature_scale")}
        arrays |= {CURVATURE: 0.05 * np.eye(width, dtype=np.float32)} if live else {}
        words = {word: place for place, word in enumerate(SUBJECTS)}
        arrays[COMPONENTS] = normal(len(words), 4)
        documents[TFIDF_FILE] = TextModel(words, [1.0] * len(words), {}, arrays[COMPONENTS]).document()
    return Draft(
        parent=None,
        created_at_ms=START_MS,
        data=DataRange(source="topic", events=9, first_ms=1, last_ms=START_MS, offsets={"0": (0, seen_until)}),
        settings=SETTINGS,
        engagement=EngagementTable(half_life_days=30.0, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS)),
        metrics={"model": "hybrid"},
        users=["ada", "bob"],
        courses=[*(course_of(number) for number in range(N_COURSES)), *more],
        arrays=arrays,
        documents=documents,
        blobs={"user_tower.weights.h5": b"not opened here"},
    )


def _features(courses: int) -> dict[str, Any]:
    """Course features, and what they are made of: each course was liked once, one a day."""
    at_ms = START_MS - MS_PER_DAY * np.arange(1.0, courses + 1)
    vectors = added(untouched(courses), Terms(np.arange(courses), at_ms, np.ones(courses), np.ones(courses)))
    features = course_features(activity(vectors, START_MS))
    mean, scale = features.mean(axis=0), features.std(axis=0) + np.float32(1e-2)
    standardised = ((features - mean) / scale).astype(np.float32)
    return {ACTIVITY: vectors, "feature_mean": mean, "feature_scale": scale, "features": standardised}


def events(
    count: int,
    *,
    seed: int = 0,
    learners: int = 60,
    favourites: Sequence[int] = (1, 2, 3),
    new: Sequence[str] = (),
    start_ms: int = START_MS,
) -> list[Interaction]:
    """Clicks of learners who take one of a few favourites half of the time, and then one of the new ones in five."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        course = int(rng.choice(favourites)) if rng.random() < 0.5 else int(rng.integers(N_COURSES))
        user, at_ms = f"u{rng.integers(learners)}", start_ms + 1000 * (number + 1)
        course_id = str(rng.choice(new)) if new and rng.random() < 0.2 else f"c{course}"
        found.append(Interaction(f"e{number}", user, course_id, "click", at_ms))
    return found


def records(clicks: Sequence[Interaction], *, first: int = 0) -> list[LogRecord]:
    """Kafka records of events, one offset after the other."""
    return [
        LogRecord(offset, event.timestamp, event.user_id.encode(), encode(event), ())
        for offset, event in enumerate(clicks, first)
    ]


def blocks(clicks: Sequence[Interaction], *, size: int = 50, partition: int = 0, first: int = 0) -> list[Block]:
    """Blocks of events of one partition; `first` is a multiple of the size."""
    found = records(clicks, first=first)
    return [
        Block(BlockId(partition, at, at + size), tuple(each for each in found if at <= each.offset < at + size))
        for at in range(first, first + len(clicks), size)
    ]
