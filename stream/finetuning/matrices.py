"""The item-item matrices in training: made anew from what learners like, each time that grew by a share. No I/O.

They are what a retrain would make of the same likes, by the same code, and a function of the learners remembered at
that block. They are judged as what steps learned is: labels that come later are predicted with them and with those that
are published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from recsys.model.links import ItemItem, LikedPairs, Links
from stream.finetuning.learners import Learners
from stream.finetuning.moved_rows import MovedRows, as_links
from stream.finetuning.rules import LearningRules

REFRESHED, KEPT = "matrices_refreshed", "matrices_kept"
"""What a refresh did with them: made them anew, or left them for a later one."""


class Matrices:
    """Of one parent.

    Args:
        rules: How to learn.
        origin: The parent's.
        arrays: The parent's.
        row_of: Course → row.
        l2: The parent's ridge penalty.
        per_row: Weights kept in a row.
        likes: Pairs of learner and course that the parent saw liked; 0 where it does not say, and nothing is refreshed.

    Attributes:
        current: In training.
    """

    def __init__(
        self,
        rules: LearningRules,
        origin: ItemItem,
        arrays: Mapping[str, NDArray[Any]],
        row_of: Mapping[str, int],
        *,
        l2: float,
        per_row: int,
        likes: float,
    ) -> None:
        self._rules, self._l2, self._per_row = rules, l2, per_row
        self.current, self._number, self._likes, self._refreshed_ms = origin, 0, likes, 0
        self._refreshes, self._known = 0, False
        self._of_courses(arrays, row_of)

    def _of_courses(self, arrays: Mapping[str, NDArray[Any]], row_of: Mapping[str, int]) -> None:
        self._row_of = row_of
        self._text: Links = (arrays["text_indptr"], arrays["text_indices"], arrays["text_weights"])

    def move(
        self, moved: MovedRows, origin: ItemItem, arrays: Mapping[str, NDArray[Any]], row_of: Mapping[str, int]
    ) -> Callable[[ItemItem], ItemItem]:
        """Goes over to other courses behind the parent's own.

        Args:
            moved: The rows.
            origin: Those of the parent with these courses.
            arrays: The same.
            row_of: Course → row.

        Returns:
            What gives any matrices of this parent with these courses, those of equal number once.
        """
        self._of_courses(arrays, row_of)
        known = {origin.number: origin}

        def of(matrices: ItemItem) -> ItemItem:
            if matrices.number not in known:
                known[matrices.number] = moved.item_item(matrices, self._text, self._per_row)
            return known[matrices.number]

        self.current = of(self.current)
        self._refreshes = 0  # those that came have only what they are lent: the next refresh gives them their own
        return of

    def refresh(self, learners: Learners, likes: float, at_ms: int) -> str:
        """A refresh, where one is due: makes them anew, or leaves them for a later one.

        Args:
            learners: Who did what.
            likes: Pairs liked by now.
            at_ms: Now, ms since 1970 UTC.

        Returns:
            What was done, for the counts; "" for nothing.
        """
        grown = likes >= self._likes * (1 + self._rules.refresh_growth)
        if not self._likes or not grown or at_ms < self._refreshed_ms + self._rules.refresh_ms:
            return ""
        self._likes, self._refreshed_ms = likes, at_ms
        turn, self._refreshes = self._refreshes % self._rules.matrices_every, self._refreshes + 1
        if turn and self._known:
            return KEPT
        pairs = learners.liked(self._row_of)
        self._known = len(pairs.user) >= self._rules.refresh_known * likes
        if not self._known:
            return "matrices_too_little_known"
        self._number += 1
        ease, future = made_anew(pairs, self._text, at_ms=at_ms, l2=self._l2, per_row=self._per_row)
        self.current = ItemItem(self._number, ease, future)
        return REFRESHED

    def back_to(self, item_item: ItemItem) -> None:
        """Takes back what was refreshed since; the next refresh is due after as much again."""
        self.current = item_item

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        number = self.current.number
        current = tuple(self.current) if number else None
        return {
            "current": current,
            "number": self._number,
            "likes": self._likes,
            "refreshed_ms": self._refreshed_ms,
            "refreshes": self._refreshes,
            "known": self._known,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent."""
        if state["current"] is not None:
            number, ease, future = state["current"]
            self.current = ItemItem(number, tuple(ease), tuple(future))
        self._number, self._likes = state["number"], state["likes"]
        # A checkpoint of before has none of these.
        self._refreshed_ms, self._refreshes = state.get("refreshed_ms", 0), state.get("refreshes", 0)
        self._known = state.get("known", False)


def made_anew(pairs: LikedPairs, text: Links, *, at_ms: int, l2: float, per_row: int) -> tuple[Links, Links]:
    """EASE and future ridge of some likes.

    Args:
        pairs: All likes, at least one.
        text: Pruned cosines of the courses' texts, which say whose weights a course without likes is lent.
        at_ms: Now, ms since 1970 UTC.
        l2: Ridge penalty.
        per_row: Weights kept in a row.
    """
    from scipy import sparse  # noqa: PLC0415 - of the batch layer's packages, needed in the training process alone

    from recsys.model.item_item import Gram, likes  # noqa: PLC0415 - the same
    from recsys.model.lent_columns import with_lent_columns  # noqa: PLC0415 - the same

    n = len(text[0]) - 1
    gram = Gram(likes(pairs.user, pairs.course, pairs.at_ms, at_ms, (int(pairs.user.max()) + 1, n)))
    inverse = gram.inverse(l2, last=True)
    texts = sparse.csr_array((text[2], text[1], text[0]), shape=(n, n))
    ease, future = (
        as_links(with_lent_columns(matrix, texts, gram.counts == 0, per_row))
        for matrix in (inverse.pruned_ease(per_row), inverse.pruned_future(per_row))
    )
    return ease, future
