"""Baselines as model bundles: what is published where the hybrid model loses to them.

Each has the arrays that `recsys.model.scorer` ranks with, so workers and API serve it as any model: towers of one unit
with zero weights, popularity in the course bias, EASE in the item-item part. There are no user embeddings and no tower
weights in it, so nothing can be fine-tuned from one (`metrics.model` in the manifest names the baseline).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from batch.encoding import EncodedEvents, EngagementRule
from batch.popularity import decayed_popularity, log_popularity
from batch.ranking.likes import likes_before
from batch.train import empty_draft
from recsys.model.bundle import Draft
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM, Floats
from recsys.model.item_item import Gram

POPULARITY = "popularity"
RECENT_POPULARITY = "recent_popularity"
EASE = "ease"
SERVABLE = (POPULARITY, RECENT_POPULARITY, EASE)
"""Baselines that a bundle can hold."""

_TIE_BREAK = 1e-3
"""Weight of popularity beside EASE: it orders what a learner's history says nothing about."""


def fit_fallback(
    name: str,
    encoded: EncodedEvents,
    hyperparameters: HyperParameters,
    options: Mapping[str, float],
    rule: EngagementRule,
) -> Draft:
    """Fits a baseline and gives it the form of a bundle.

    Args:
        name: One of `SERVABLE`.
        encoded: The training side.
        hyperparameters: Those of the hybrid; what does not apply to the baseline is replaced.
        options: What the validation slice chose for the baseline: `half_life_days` or `l2`.
        rule: How events are read.
    """
    small = replace(hyperparameters, vector_dim=1, user_dim=1, hidden=1, pool_power=1.0)
    half_life = options.get("half_life_days", np.inf) if name == RECENT_POPULARITY else np.inf
    popularity = log_popularity(decayed_popularity(encoded, int(encoded.time[-1]), half_life))
    item_item = _no_item_item(encoded)
    if name == EASE:
        popularity *= np.float32(_TIE_BREAK)
        item_item = _item_item(encoded, options["l2"], small.neighbours)
    draft = replace(empty_draft(encoded, small, rule), users=())
    return replace(draft, arrays={**_blank_towers(len(encoded.courses)), **item_item, "course_bias": popularity})


def _item_item(encoded: EncodedEvents, l2: float, neighbours: int) -> dict[str, np.ndarray]:
    """EASE as `recsys.model.affinity` reads it: a sparse courses × courses matrix by rows."""
    kept = Gram(likes_before(encoded, int(encoded.time[-1]) + 1)).inverse(l2).pruned_ease(neighbours)
    return {
        "wide_indptr": kept.indptr.astype(np.int64),
        "wide_indices": kept.indices.astype(np.int32),
        "wide_weights": kept.data.astype(np.float32),
    }


def _no_item_item(encoded: EncodedEvents) -> dict[str, np.ndarray]:
    return {
        "wide_indptr": np.zeros(len(encoded.courses) + 1, np.int64),
        "wide_indices": np.zeros(0, np.int32),
        "wide_weights": np.zeros(0, np.float32),
    }


def _blank_towers(n_courses: int) -> dict[str, Floats]:
    shapes = {
        "course_vectors": (n_courses, 1),
        "history_vectors": (n_courses, 1),
        "user_embeddings": (1, 1),
        "hidden_kernel": (2 + STRENGTH_DIM, 1),
        "hidden_bias": (1,),
        "output_kernel": (1, 1),
        "output_bias": (1,),
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
