"""What an answer leaves out: one policy for the fold, the cached lists, the API and offline evaluation.

A course a learner is done with is never recommended to them. Whether a course they have only seen (any interaction,
none of which ends it) is recommended again is a setting. Evaluation ranks what an answer may hold, so its figures are
those of what is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from recsys.events import DONE_PROGRESS, is_done


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The policy.

    Attributes:
        done_progress: A `progress` of at least this completes a course, 0 < x ≤ 1.
        exclude_seen: Whether courses with any interaction are left out too.
    """

    done_progress: float = DONE_PROGRESS
    exclude_seen: bool = True

    def ends(self, kind: str, value: float | None) -> bool:
        """Whether an event of this type and value makes its course one the learner is done with."""
        return is_done(kind, value, done_progress=self.done_progress)

    def excluded(self, done: AbstractSet[str], seen: Iterable[str]) -> AbstractSet[str]:
        """The courses an answer leaves out.

        Args:
            done: Courses the learner is done with.
            seen: Courses the learner has any engagement with.
        """
        return done | set(seen) if self.exclude_seen else done

    def __str__(self) -> str:
        also = "courses only seen are left out too" if self.exclude_seen else "courses only seen may be shown again"
        return (
            "Courses a learner enrolled in, completed, left, dismissed or watched to "
            f"{self.done_progress:.0%} are left out; {also}."
        )
