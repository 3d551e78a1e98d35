"""Fits the hybrid model on one training side: features, examples, towers, item-item part → a draft of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from batch.encoding import EncodedEvents, EngagementRule
from batch.evaluation.cases import Case
from batch.examples import build_examples
from batch.features import ATTRIBUTES_FILE, COMPONENTS, TFIDF_FILE, course_features, fit_attributes, fit_text
from batch.popularity import decayed_popularity, log_popularity, popularity_timeline
from batch.stages import Progress
from batch.wide import ease, liked_matrix, strongest
from recsys.catalog import Course
from recsys.errors import InputError
from recsys.model.bundle import Draft, as_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats
from recsys.model.manifest import DataRange
from recsys.model.scorer import Scorer
from recsys.model.towers import HybridTowers
from recsys.model.training import TrainingInputs, train_towers

MIN_EVENTS = 50

OnEpoch = Callable[[int, float, Draft], bool]
"""Called with epoch, mean loss and the model so far (without item-item part); returns whether to go on."""


def fit_hybrid(
    encoded: EncodedEvents,
    hyperparameters: HyperParameters,
    rule: EngagementRule,
    *,
    on_epoch: OnEpoch | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Draft:
    """Trains the hybrid model.

    Args:
        encoded: The training side, at least `MIN_EVENTS` interactions.
        hyperparameters: Of model and training.
        rule: Of the engagement scores.
        on_epoch: May look at the model after each epoch and end training.
        progress: Called after each step with steps done and in all.

    Raises:
        InputError: For a history too small to train on.
    """
    _check_enough(encoded)
    touched = np.bincount(encoded.course, minlength=len(encoded.courses)) > 0
    known = [course for course, seen in zip(encoded.courses, touched, strict=True) if seen]
    text, attributes = fit_text(known, hyperparameters, encoded.courses), fit_attributes(known)
    features = course_features(encoded.courses, text, attributes, touched)
    examples = build_examples(encoded, hyperparameters, rule.decay.half_life_days)
    timeline = popularity_timeline(encoded, hyperparameters.popularity_half_life_days)
    inputs = TrainingInputs(examples, features, encoded.touched(), timeline.table, timeline.bucket(examples.time))
    now = log_popularity(decayed_popularity(encoded, int(encoded.time[-1]), hyperparameters.popularity_half_life_days))
    draft = empty_draft(encoded, hyperparameters, rule)
    documents = {TFIDF_FILE: text.document(), ATTRIBUTES_FILE: attributes.document()}

    def after_epoch(epoch: int, loss: float, towers: HybridTowers) -> bool:
        return on_epoch is None or on_epoch(
            epoch, loss, replace(draft, arrays=towers.export(features, now) | no_wide(encoded))
        )

    towers = train_towers(inputs, hyperparameters, after_epoch=after_epoch, progress=progress)
    arrays = towers.export(features, now) | {COMPONENTS: text.components} | wide_arrays(encoded, hyperparameters)
    return replace(draft, arrays=arrays, documents=documents, blobs=towers.weight_files())


def wide_arrays(encoded: EncodedEvents, hyperparameters: HyperParameters) -> dict[str, np.ndarray]:
    """The item-item part as the scorer reads it: a sparse courses × courses matrix by rows, scaled by its weight."""
    if hyperparameters.wide_weight == 0 or not (encoded.weight > 0).any():
        return no_wide(encoded)
    kept = strongest(ease(liked_matrix(encoded), hyperparameters.wide_l2), hyperparameters.wide_neighbours)
    return {
        "wide_indptr": kept.indptr.astype(np.int64),
        "wide_indices": kept.indices.astype(np.int32),
        "wide_weights": (kept.data * hyperparameters.wide_weight).astype(np.float32),
    }


def no_wide(encoded: EncodedEvents) -> dict[str, np.ndarray]:
    """An empty item-item part."""
    return {
        "wide_indptr": np.zeros(len(encoded.courses) + 1, np.int64),
        "wide_indices": np.zeros(0, np.int32),
        "wide_weights": np.zeros(0, np.float32),
    }


class ScorerRecommender:
    """A served model as `batch.evaluation.cases.Recommender`: exactly the code that ranks online is what is evaluated.

    Args:
        scorer: The model.
        courses: The catalogue of the evaluation; a course the model does not know gets the lowest score.
    """

    def __init__(self, scorer: Scorer, courses: Sequence[Course]) -> None:
        self._scorer = scorer
        self._ids = [course.course_id for course in courses]
        row_of = {course_id: row for row, course_id in enumerate(scorer.course_ids)}
        self._column = np.array([row_of.get(course_id, -1) for course_id in self._ids])

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        engagement = {self._ids[row]: float(value) for row, value in zip(case.rows, case.stored, strict=True)}
        scores = self._scorer.score(case.user_id, engagement, at_ms=case.at_ms)
        return np.where(self._column >= 0, scores[self._column], -np.inf).astype(np.float32)


def recommender(draft: Draft) -> ScorerRecommender:
    """The model of a draft, ready to be evaluated on its own catalogue."""
    return ScorerRecommender(Scorer(as_bundle(draft)), draft.courses)


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
