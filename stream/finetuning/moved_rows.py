"""Course rows that move: what was learned by row, after courses came and went behind the parent's own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.model.increment import Increment
from recsys.model.inputs import Rows
from recsys.model.links import ItemItem, Links

if TYPE_CHECKING:
    from scipy import sparse


class MovedRows:
    """From the rows of some courses to those of others.

    Args:
        before: Course ids by row.
        after: The same.

    Attributes:
        was: The row of each before `(len(after),)`; −1 for one that came.
        now: The row of each after `(len(before),)`; −1 for one that went.
    """

    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        self.was, self.now = _rows_in(before, after), _rows_in(after, before)

    @property
    def came(self) -> NDArray[np.bool_]:
        """Which courses were not there before `(len(after),)`."""
        some: NDArray[np.bool_] = self.was < 0
        return some

    def taken(self, values: NDArray[Any], of_new: NDArray[Any] | float = 0.0) -> NDArray[Any]:
        """Values by row `(len(before), …)` in the order of after; those of courses that came are `of_new`."""
        found = np.empty((len(self.was), *values.shape[1:]), values.dtype)
        found[:] = of_new
        found[~self.came] = values[self.was[~self.came]]
        return found

    def increment(self, increment: Increment, of_new: Increment | None = None) -> Increment:
        """An increment; courses that came are as the parent's, or as in `of_new`, which has all rows."""
        bias, rows = (0.0, 0.0) if of_new is None else (of_new.bias, of_new.rows)
        return Increment(self.taken(increment.bias, bias), self.taken(increment.rows, rows), increment.weights)

    def item_item(self, matrices: ItemItem, texts: Links, per_row: int) -> ItemItem:
        """Item-item matrices; a course that came is lent the weights of those whose text is most similar.

        Args:
            matrices: Of the courses before.
            texts: Pruned cosines of texts of the courses after.
            per_row: Weights kept in a row.
        """
        from recsys.model.lent_columns import with_lent_columns  # noqa: PLC0415 - of the batch layer's packages

        similarity, n = _matrix(texts), len(self.was)

        def moved(links: Links) -> Links:
            from scipy import sparse  # noqa: PLC0415 - the same

            entries = _matrix(links).tocoo()
            row, column = self.now[entries.row], self.now[entries.col]
            kept = (row >= 0) & (column >= 0)
            grown = sparse.csr_array((entries.data[kept], (row[kept], column[kept])), shape=(n, n))
            return as_links(with_lent_columns(grown, similarity, self.came, per_row))

        return ItemItem(matrices.number, moved(matrices.ease), moved(matrices.future))


def as_links(matrix: sparse.csr_array) -> Links:
    """A matrix as a bundle holds it."""
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float32)


def _matrix(links: Links) -> sparse.csr_array:
    from scipy import sparse  # noqa: PLC0415 - see above

    bounds, columns, weights = links
    n = len(bounds) - 1
    return sparse.csr_array((weights, columns, bounds), shape=(n, n))


def _rows_in(ids: Sequence[str], wanted: Sequence[str]) -> Rows:
    row_of = {course_id: row for row, course_id in enumerate(ids)}
    return np.array([row_of.get(course_id, -1) for course_id in wanted], np.int32)
