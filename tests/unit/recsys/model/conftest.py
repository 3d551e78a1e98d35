"""A small bundle whose weights are drawn from a seed: enough to rank with, no training needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.scorer import Scorer
from recsys.vocabulary import DEFAULT_WEIGHTS

N_COURSES = 40
SETTINGS = HyperParameters(vector_dim=8, user_dim=4, hidden=16, text_dim=6, history_length=5)


def draw_arrays(n: int, users: int, *, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    d, width = SETTINGS.vector_dim, SETTINGS.user_dim + SETTINGS.vector_dim + STRENGTH_DIM

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return {
        "course_vectors": normal(n, d),
        "course_bias": normal(n),
        "history_vectors": normal(n, d),
        "user_embeddings": normal(users + 1, SETTINGS.user_dim),
        "hidden_kernel": normal(width, SETTINGS.hidden),
        "hidden_bias": normal(SETTINGS.hidden),
        "output_kernel": normal(SETTINGS.hidden, d),
        "output_bias": normal(d),
        "wide_indptr": np.arange(n + 1, dtype=np.int64) * 3,
        "wide_indices": rng.integers(0, n, n * 3).astype(np.int32),
        "wide_weights": normal(n * 3),
    }


@pytest.fixture
def draft() -> Draft:
    courses = [Course(course_id=f"c{i}", title=f"Course {i}", retired=i == 7) for i in range(N_COURSES)]
    return Draft(
        parent=None,
        created_at_ms=1_700_000_000_000,
        data=DataRange(source="topic", events=9, first_ms=1, last_ms=2, offsets={"0": (0, 9)}),
        settings=SETTINGS,
        engagement=EngagementTable(half_life_days=30.0, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS)),
        metrics={"hybrid": {"ndcg@10": 0.1}},
        users=["ada", "bob"],
        courses=courses,
        arrays=draw_arrays(N_COURSES, 2),
        documents={"tfidf.json": {"vocabulary": {"kafka": 0}, "idf": [1.5]}},
        blobs={"user_tower.weights.h5": b"not opened here"},
    )


@pytest.fixture
def bundle_path(draft: Draft, tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "models", draft)


@pytest.fixture
def scorer(bundle_path: Path) -> Scorer:
    return Scorer.load(bundle_path)
