"""The published model as the monitor asks it: its ranking, and the vectors that drift is measured by."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from recsys.model.bundle import Bundle, load_bundle
from recsys.model.scorer import Scorer

VECTORS = "course_vectors"


class MonitoredModel:
    """A verified bundle.

    Args:
        bundle: The bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._scorer, self._vectors = Scorer(bundle), bundle.arrays.get(VECTORS)
        self.version = self._scorer.version
        self.catalogue: Container[str] = self._scorer.catalogue
        self._row_of = {course_id: row for row, course_id in enumerate(self._scorer.course_ids)}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Loads and verifies a bundle's folder.

        Raises:
            BundleError: When the bundle does not verify.
        """
        return cls(load_bundle(path))

    def rank(
        self, user_id: str, engagement: Mapping[str, float], *, at_ms: int, n: int, exclude: Collection[str]
    ) -> tuple[Sequence[str], Sequence[float]]:
        """As `Scorer.rank`."""
        return self._scorer.rank(user_id, engagement, at_ms=at_ms, n=n, exclude=exclude)

    def vector(self, course_id: str) -> Any:
        """The course's vector `(d,)`; None where the model has none."""
        return None if self._vectors is None else self._vectors[self._row_of[course_id]]
