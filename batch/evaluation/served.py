"""A served model as what an evaluation asks: exactly the code that ranks online is what is evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from batch.evaluation.cases import Case
from recsys.catalog import Course
from recsys.model.bundle import Draft, as_bundle
from recsys.model.inputs import Floats
from recsys.model.scorer import Scorer


class ScorerRecommender:
    """A served model as `batch.evaluation.cases.Recommender`.

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
