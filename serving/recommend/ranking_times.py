"""How long rankings take in this process, and whether there is time for one that an answer could do without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RECENT = 0.1
"""Weight of the latest ranking in the mean."""

REST = 3.0
"""After a ranking, optional ones wait for so many times its length: they take a fourth of the time at most, however
many requests ask for learners whose lists are out of date."""


class RankingTimes:
    """Measures rankings.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._free_at = clock, float("-inf")
        self.mean_s = 0.0
        """How long a ranking takes of late, seconds; 0 before the first."""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measures a ranking, whether it succeeds or not."""
        began = self._clock()
        try:
            yield
        finally:
            ended = self._clock()
            self.mean_s += RECENT * (ended - began - self.mean_s)
            self._free_at = ended + REST * (ended - began)

    def allow_optional(self) -> bool:
        """Whether enough time has passed since the last ranking for one that an answer could do without."""
        return self._clock() >= self._free_at
