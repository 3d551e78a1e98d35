"""A model over the courses of a made-up Open edX site, with drawn weights: what a retrain would need minutes for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from infra.devtools.openedx_site import Site
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS
from recsys.model.bundle import Draft, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM
from recsys.model.manifest import DataRange, EngagementTable
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from recsys.settings import Settings
from recsys.vocabulary import DEFAULT_WEIGHTS


def catalogue(site: Site) -> list[Course]:
    """The site's courses as the catalogue has them."""
    return [Course(course_id=course.course_id, title=course.title, category=course.subject) for course in site.courses]


def publish_drawn_model(settings: Settings, site: Site) -> None:
    """Writes a model with drawn weights over the site's courses, and makes it the one in use."""
    rng, courses, at_ms = np.random.default_rng(site.seed), catalogue(site), time.time_ns() // 1_000_000
    hyper = HyperParameters(vector_dim=16, user_dim=4, hidden=16, text_dim=6, history_length=5)
    shapes = {
        "course_vectors": (len(courses), hyper.vector_dim),
        "course_bias": (len(courses),),
        "history_vectors": (len(courses), hyper.vector_dim),
        "user_embeddings": (1, hyper.user_dim),
        "hidden_kernel": (hyper.user_dim + hyper.vector_dim + STRENGTH_DIM, hyper.hidden),
        "hidden_bias": (hyper.hidden,),
        "output_kernel": (hyper.hidden, hyper.vector_dim),
        "output_bias": (hyper.vector_dim,),
        "wide_weights": (0,),
    }
    arrays: dict[str, Any] = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["wide_indptr"] = np.zeros(len(courses) + 1, dtype=np.int64)
    arrays["wide_indices"] = np.zeros(0, dtype=np.int32)
    draft = Draft(
        parent=None,
        created_at_ms=at_ms,
        data=DataRange(source="drawn", events=0, first_ms=0, last_ms=0),
        settings=hyper,
        engagement=EngagementTable(half_life_days=30.0, landmark_ms=LANDMARK_MS, weights=dict(DEFAULT_WEIGHTS)),
        metrics={},
        users=[],
        courses=courses,
        arrays=arrays,
    )
    path = write_bundle(settings.models_dir, draft)
    asyncio.run(_publish(settings, path, at_ms))


async def _publish(settings: Settings, path: Path, at_ms: int) -> None:
    store = RedisStore.for_stream(settings.redis)
    try:
        await publish_bundle(store, path, replacing=await store.model(), at_ms=at_ms, keep=1)
    finally:
        await store.close()
