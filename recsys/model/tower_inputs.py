"""What training of the towers reads, a batch at a time: of the whole catalogue, or of the courses a step looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.inputs import Floats, Rows


class TowerInputs:
    """What a training run reads, a batch at a time.

    Args:
        user: User embedding rows `(e,)`, 0 for the unknown user.
        rows: History rows `(e, l)`.
        pools: `(e, l, POOLS)`.
        strength: `(e, STRENGTH_DIM)`.
        targets: `(e, n)`.
        known: `(e, n)`.
        popularity: Log popularity by time bucket, course and half-life `(buckets, n, len(OFFSET_DAYS))`.
        bucket: The bucket of each example `(e,)`.
    """

    def __init__(
        self,
        *,
        user: Rows,
        rows: Rows,
        pools: Floats,
        strength: Floats,
        targets: sparse.csr_array,
        known: sparse.csr_array,
        popularity: Floats,
        bucket: Rows,
    ) -> None:
        self.user, self.rows, self.pools, self.strength = user, rows, pools, strength
        self.targets, self._known, self._bucket = targets.astype(bool), known.astype(bool), bucket
        self.popularity = popularity

    def __len__(self) -> int:
        return len(self.user)

    def batch(self, chosen: NDArray[np.integer[Any]], courses: Rows | None = None) -> tuple[Any, ...]:
        """The arrays of some examples `(b,)`, in the order of the training step's arguments.

        Args:
            chosen: The examples.
            courses: Those that targets and known courses are given of, ascending `(c,)`; None for the catalogue.
        """
        return (
            self.user[chosen],
            self.rows[chosen],
            self.pools[chosen],
            self.strength[chosen],
            _columns(self.targets[chosen], courses),
            _columns(self._known[chosen], courses),
            self._bucket[chosen],
        )


def _columns(pairs: sparse.csr_array, courses: Rows | None) -> NDArray[np.bool_]:
    """The columns of some courses, ascending `(c,)`, or all, of `(b, n)`, dense."""
    if courses is None:
        return np.asarray(pairs.toarray())
    found = np.zeros((pairs.shape[0], len(courses)), dtype=bool)
    place = np.searchsorted(courses, pairs.indices)
    there = np.append(courses, -1)[place] == pairs.indices
    found[np.arange(len(found)).repeat(np.diff(pairs.indptr))[there], place[there]] = True
    return found
