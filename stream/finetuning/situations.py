"""What one parent knows of events and learners: rows of ids, what it has seen, situations, ranks under an increment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError
from recsys.model.bundle import MIXER, Bundle
from recsys.model.increment import Increment, IncrementModel, Situation
from recsys.model.inputs import Floats, Rows
from recsys.model.links import ItemItem
from recsys.model.signals import Entries
from recsys.model.top_k import top_rows
from recsys.prequential import TOP
from stream.finetuning.gate import ndcg_of
from stream.finetuning.lineage import Variant
from stream.finetuning.moments import Moment

MOST_CELLS = 1 << 18
"""Learners × courses whose situations are made at a time: some 5 MiB."""

MOST_MATRICES = 4
"""Item-item matrices of one parent kept ready: of what is in training, proposed, published, and was before."""


class Situations:
    """Of one parent.

    Args:
        parent: A verified bundle of the hybrid model.
        rank: Directions along which courses may move.
        most_cells: Learners × courses whose situations are made at a time, at least one learner.

    Attributes:
        courses: The parent's, and behind them those that were placed since, `n` in all.
        row_of: Course → row.
        offered: Which courses are not retired `(n,)`.
        origin: The parent itself, with all of these courses.
        features: The course features of now, standardised `(n, f)`.

    Raises:
        BundleError: The parent is none that the ranker ranks: a baseline has nothing to fine-tune.
    """

    def __init__(self, parent: Bundle, *, rank: int, most_cells: int = MOST_CELLS) -> None:
        manifest = parent.manifest
        if MIXER not in parent.arrays:
            raise BundleError(f"expected a hybrid model to fine-tune, received the baseline {manifest.version}")
        self._rank, self._own, self._most_cells = rank, len(parent.courses), most_cells
        self._history_length = manifest.settings.history_length
        self.go_over(parent)
        self._user_row = {user: row for row, user in enumerate(parent.users, start=1)}
        self._seen_until = {int(partition): end for partition, (_, end) in manifest.data.offsets.items()}
        self._last_ms = manifest.data.last_ms

    def go_over(self, bundle: Bundle) -> None:
        """Goes over to the parent with other courses behind its own, and the course features that it has."""
        model = IncrementModel(bundle.arrays, self._history_length, rank=self._rank, own=self._own)
        self.origin = Variant(Increment.none(model.courses, model.rank), ItemItem.of(bundle.arrays))
        self._frozen: dict[int, IncrementModel] = {0: model}
        self._now: dict[int, IncrementModel] = {}
        self.features: Floats = bundle.arrays["features"]
        self.courses = bundle.courses
        self._ids = [course.course_id for course in bundle.courses]
        self.row_of = {course: row for row, course in enumerate(self._ids)}
        self.offered: NDArray[np.bool_] = np.array([not course.retired for course in bundle.courses], dtype=bool)

    def now(self, features: Floats) -> None:
        """Goes over to the course features of an instant, standardised `(n, f)`."""
        self.features = features
        self._now.clear()

    def is_new(self, partition: int, offset: int, at_ms: int) -> bool:
        """Whether the parent has not seen an event."""
        if self._seen_until:
            return offset >= self._seen_until.get(partition, 0)
        return at_ms > self._last_ms

    def is_new_moment(self, moment: Moment) -> bool:
        """Whether the parent has not seen its event."""
        return self.is_new(moment.partition, moment.offset, moment.at_ms)

    def is_offered(self, course_id: str) -> bool:
        """Whether a course has a row and is not retired."""
        row = self.row_of.get(course_id)
        return row is not None and bool(self.offered[row])

    def model(self, item_item: ItemItem, *, frozen: bool = False) -> IncrementModel:
        """The model with some item-item matrices, and the course features of now or those of the parent's end."""
        number = item_item.number
        if number not in self._frozen:
            newest = sorted(self._frozen)[-MOST_MATRICES:]
            self._frozen = {each: self._frozen[each] for each in {0, *newest}}
            self._frozen[number] = self._frozen[0].with_item_item(item_item)
        if frozen:
            return self._frozen[number]
        if number not in self._now:
            self._now[number] = self._frozen[number].with_features(self.features)
        return self._now[number]

    def of(self, moment: Moment, item_item: ItemItem, *, frozen: bool = False) -> Situation | None:
        """A moment's situation, as of `of_all`."""
        return next(self.of_all([moment], item_item, frozen=frozen))

    def of_all(
        self, moments: Sequence[Moment], item_item: ItemItem, *, frozen: bool = False
    ) -> Iterator[Situation | None]:
        """The situations of moments, made some at a time; matrices and features as of `model`.

        Each is the same to the last bit in every batch. None where nothing but popularity ranks, or where the parent
        does not offer the course that was taken.
        """
        model = self.model(item_item, frozen=frozen)
        size = max(1, self._most_cells // model.courses)
        for first in range(0, len(moments), size):
            some = [(each, self.is_ranked(each)) for each in moments[first : first + size]]
            ranked = [moment for moment, is_ranked in some if is_ranked]
            users = np.array([self._user_row.get(each.user, 0) for each in ranked], np.intp)
            situations = iter(model.situations(users, self._histories(ranked)) if ranked else ())
            yield from (next(situations) if is_ranked else None for _, is_ranked in some)

    def is_ranked(self, moment: Moment) -> bool:
        """Whether the parent offers the course that was taken, and more than popularity ranks for its learner."""
        return self.is_offered(moment.course) and any(
            value > 0 and course in self.row_of for course, value in zip(moment.courses, moment.engagement, strict=True)
        )

    def _histories(self, moments: Sequence[Moment]) -> Entries:
        """The courses of several learners that have rows."""
        rows = np.array([self.row_of.get(course, -1) for moment in moments for course in moment.courses], np.int32)
        owner = np.arange(len(moments)).repeat([len(moment.courses) for moment in moments])
        known = rows >= 0
        return Entries(owner[known], rows[known], np.concatenate([each.engagement for each in moments])[known])

    def ndcg(self, situation: Situation, course_id: str, increment: Increment) -> float:
        """NDCG@10 of the course that was taken."""
        scores = self._frozen[0].scores(situation, increment)
        return ndcg_of(scores, self.row_of[course_id], self._hidden(situation.touched))

    def top(self, situation: Situation, increment: Increment) -> list[str]:
        """The courses of the top-10."""
        scores = np.where(self._hidden(situation.touched), -np.inf, self._frozen[0].scores(situation, increment))
        return [self._ids[row] for row in top_rows(scores.astype(np.float32), TOP)]

    def _hidden(self, touched: Rows) -> NDArray[np.bool_]:
        hidden = ~self.offered
        hidden[touched] = True
        return hidden
