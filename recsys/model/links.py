"""Item-item matrices as bundles hold them, and the likes that they are made from. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Floats, Rows

Links = tuple[NDArray[np.int64], Rows, Floats]
"""A matrix `(n, n)` in compressed rows: bounds `(n + 1,)`, columns `(k,)`, weights `(k,)`."""


class ItemItem(NamedTuple):
    """The matrices that are refreshed.

    Attributes:
        number: Tells those of one parent apart; 0 is the parent's own.
        ease: What courses go together.
        future: What learners like now who liked a course.
    """

    number: int
    ease: Links
    future: Links

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> ItemItem:
        """Those of a bundle."""
        ease, future = (
            (arrays[f"{name}_indptr"], arrays[f"{name}_indices"], arrays[f"{name}_weights"])
            for name in ("ease", "future")
        )
        return cls(0, ease, future)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As a bundle's arrays."""
        found: dict[str, NDArray[Any]] = {}
        for name, (bounds, columns, weights) in (("ease", self.ease), ("future", self.future)):
            found |= {f"{name}_indptr": bounds, f"{name}_indices": columns, f"{name}_weights": weights}
        return found


class LikedPairs(NamedTuple):
    """Distinct pairs of a learner and a course that they like, `(p,)` each.

    Attributes:
        user: Number of the learner, from 0.
        course: Row of the course.
        at_ms: When they touched it last, ms since 1970 UTC.
    """

    user: Rows
    course: Rows
    at_ms: NDArray[np.int64]
