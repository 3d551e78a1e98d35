"""A bundle whose lists follow the courses' texts alone: courses of three subjects, and a mixer that trusts TF-IDF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from batch.features import tfidf_matrix
from benchmarks.drawn import draw_bundle
from recsys.catalog import Course
from recsys.course_sums.activity import Terms, added, untouched
from recsys.model.bundle import Bundle, Draft, load_bundle, write_bundle
from recsys.model.course_features import NAMES
from recsys.model.lent_columns import text_similarity
from recsys.model.signals import SIGNALS
from recsys.model.terms import VERSION, terms
from recsys.model.text import COMPONENTS, TFIDF_FILE, TextModel

SUBJECTS = ("distributed streaming with brokers", "watercolour painting of landscapes", "organic chemistry of polymers")


def course_of(number: int, *, course_id: str | None = None) -> Course:
    """Of the subject `number % 3`."""
    return Course(course_id=course_id or f"c{number}", title=f"{SUBJECTS[number % 3]}, volume {number}")


def readable_bundle(folder: Path, *, courses: int) -> Bundle:
    """Courses `c0`, `c1`, …, each touched once, in memory; `folder` is for what it is made from."""
    drawn = load_bundle(draw_bundle(folder, courses=courses))
    catalogue = [course_of(number) for number in range(courses)]
    words = sorted({word for course in catalogue for word in terms(course.title)})
    components = np.random.default_rng(1).normal(size=(len(words), 4)).astype(np.float32)
    text = TextModel({word: place for place, word in enumerate(words)}, [1.0] * len(words), {}, components)
    arrays = {name: np.zeros_like(array) if name.startswith("mixer") else array for name, array in drawn.arrays.items()}
    arrays["mixer_weights"][:, SIGNALS.index("text")] = 1.0
    links = text_similarity(tfidf_matrix(text, catalogue), drawn.manifest.settings.neighbours)
    arrays |= {
        "text_indptr": links.indptr.astype(np.int64),
        "text_indices": links.indices.astype(np.int32),
        "text_weights": links.data.astype(np.float32),
        COMPONENTS: components,
        "feature_mean": np.zeros(len(NAMES), np.float32),
        "feature_scale": np.ones(len(NAMES), np.float32),
        "activity": added(
            untouched(courses), Terms(np.arange(courses), np.full(courses, 1.6e12), np.ones(courses), np.ones(courses))
        ),
    }
    documents = {TFIDF_FILE: {**text.document(), "analyser": VERSION}}
    return replace(drawn, courses=catalogue, arrays=arrays, documents=documents)


def write_readable(models_dir: Path, folder: Path, *, courses: int) -> Path:
    """The same as a published bundle's folder."""
    bundle = readable_bundle(folder, courses=courses)
    manifest = bundle.manifest
    draft = Draft(
        parent=None,
        created_at_ms=manifest.created_at_ms,
        data=manifest.data,
        settings=manifest.settings,
        engagement=manifest.engagement,
        metrics={},
        users=bundle.users,
        courses=bundle.courses,
        arrays=bundle.arrays,
        documents=bundle.documents,
    )
    return write_bundle(models_dir, draft)
