"""What an answer leaves out: one policy for the fold, the cached lists, the API and offline evaluation.

A course a learner is done with is not recommended to them; one they left is given back after a while, and is then as if
it had never been seen. Whether a course they have only seen is recommended again is a setting. Evaluation ranks what an
answer may hold, so its figures are those of what is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from recsys.events import DONE_PROGRESS


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The policy.

    Attributes:
        done_progress: A `progress` of at least this completes a course, 0 < x ≤ 1.
        exclude_seen: Whether courses with any interaction are left out too.
    """

    done_progress: float = DONE_PROGRESS
    exclude_seen: bool = True

    def excluded(self, done: Mapping[str, int], seen: Iterable[str], *, at_ms: int) -> AbstractSet[str]:
        """The courses an answer leaves out.

        Args:
            done: Courses the learner is or was done with → until when, ms since 1970 UTC. One whose time has passed was
                given back: it is recommended as if it had never been seen.
            seen: Courses the learner has any engagement with.
            at_ms: Now, ms since 1970 UTC.
        """
        now = {course for course, until in done.items() if until > at_ms}
        return now.union(course for course in seen if course not in done) if self.exclude_seen else now

    def __str__(self) -> str:
        also = "courses only seen are left out too" if self.exclude_seen else "courses only seen may be shown again"
        return (
            "Courses a learner is enrolled in, has completed, dismissed, lately left or watched to "
            f"{self.done_progress:.0%} are left out; {also}."
        )
