"""Fits the hybrid model on one training side: features, towers, item-item matrices, mixer → a draft of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from batch.encoding import EncodedEvents, EngagementRule
from batch.features import (
    ATTRIBUTES_FILE,
    course_features,
    fit_attributes,
    fit_text,
)
from batch.ranking.fit import RankerFit, catalogue_of
from batch.stages import Stage, silent
from batch.text_encoders import TFIDF, TextEncoder, TfidfEncoder
from recsys.errors import InputError
from recsys.model.bundle import Draft
from recsys.model.hyperparameters import HyperParameters
from recsys.model.manifest import DataRange
from recsys.model.text import COMPONENTS, TFIDF_FILE

MIN_EVENTS = 50
TEXT_VECTORS = "text_vectors"
"""What the towers saw of each course's text, for whoever trains on from a bundle."""

TEXT_ENCODER_FILE = "text_encoder.json"


@dataclass(frozen=True, slots=True)
class Hybrid:
    """A fitted hybrid model.

    Attributes:
        draft: Of its bundle; its settings have the penalty that was chosen.
        curve: Mean loss of each epoch of the towers.
        penalties: NDCG@10 of each item-item penalty tried on the end of the training side.
        lists: How many lists of learners the mixer learned from; 0 where it was taken over.
        mixer_curve: Mean loss of each epoch of the mixer; empty where it was taken over.
    """

    draft: Draft
    curve: Sequence[float]
    penalties: Mapping[float, float]
    lists: int
    mixer_curve: Sequence[float]


def fit_hybrid(
    encoded: EncodedEvents,
    hyperparameters: HyperParameters,
    rule: EngagementRule,
    *,
    learned: Draft | None = None,
    encoder: TextEncoder = TfidfEncoder(),  # noqa: B008 (immutable)
    stage: Stage = silent,
) -> Hybrid:
    """Trains the hybrid model.

    Args:
        encoded: The training side, at least `MIN_EVENTS` interactions.
        hyperparameters: Of model and training.
        rule: Of the engagement scores.
        learned: A hybrid fitted on the begin of this history, whose mixer and penalty are taken over: what to trust for
            whom changes slowly, and learning it takes most of the time. None learns them.
        encoder: Of the courses' texts.
        stage: Shows progress.

    Raises:
        InputError: For a history too small to train on.
    """
    _check_enough(encoded)
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    known = [course for course, seen in zip(encoded.courses, touched, strict=True) if seen]
    text, attributes = fit_text(known, hyperparameters, encoded.courses), fit_attributes(known)
    texts = encoder.encode(encoded.courses, np.flatnonzero(touched).astype(np.int32), text, hyperparameters)
    features = course_features(encoded.courses, texts.projected, attributes, touched)
    catalogue = catalogue_of(texts.rows, features, hyperparameters.neighbours)
    if learned is not None:
        hyperparameters = replace(hyperparameters, item_item_l2=learned.settings.item_item_l2)
    end_ms = int(encoded.time[-1]) + 1
    fit = RankerFit(encoded, catalogue, hyperparameters, rule, end_ms=end_ms, stage=stage)
    fitted = fit.fit(None if learned is None else learned.arrays)
    draft = replace(
        empty_draft(encoded, fitted.hyperparameters, rule),
        arrays=fitted.arrays | {COMPONENTS: text.components},
        documents={TFIDF_FILE: text.document(), ATTRIBUTES_FILE: attributes.document()},
        blobs=fitted.blobs,
    )
    if encoder.name != TFIDF:  # what TF-IDF says is computed from its own files
        said = {TEXT_ENCODER_FILE: {"name": encoder.name}}
        arrays = {**draft.arrays, TEXT_VECTORS: texts.projected}
        draft = replace(draft, arrays=arrays, documents={**draft.documents, **said})
    return Hybrid(draft, fitted.curve, fitted.penalties, fitted.lists, fitted.mixer_curve)


def _check_enough(encoded: EncodedEvents) -> None:
    """The parts for validation and test are cut off before training, so a part may be too small where all is not."""
    if len(encoded.time) < MIN_EVENTS:
        raise InputError(
            f"too few interactions to train on: {len(encoded.time)} with courses of the catalogue in this part of the "
            f"history, {MIN_EVENTS} are needed; a comparison trains on the first 64 % and 80 % of it"
        )
    if not (encoded.weight > 0).any():
        raise InputError(
            f"nothing to learn from: none of the {len(encoded.time)} interactions in this part of the history has a "
            "positive weight"
        )


def empty_draft(encoded: EncodedEvents, hyperparameters: HyperParameters, rule: EngagementRule) -> Draft:
    """A draft without arrays; its time is that of the last event until it is replaced."""
    return Draft(
        parent=None,
        created_at_ms=int(encoded.time[-1]),
        data=DataRange(
            source="", events=len(encoded.time), first_ms=int(encoded.time[0]), last_ms=int(encoded.time[-1])
        ),
        settings=hyperparameters,
        engagement=rule.table(),
        metrics={},
        users=encoded.users,
        courses=encoded.courses,
        arrays={},
    )
