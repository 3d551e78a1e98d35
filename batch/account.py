"""What became of a history: read, refused, repeated, of bots, erased, unjoined, used; the lines that say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from batch.clean import REPEATED, CleaningReport
from batch.history import History
from batch.learners import Settled
from recsys.prerequisites import prerequisite_remarks

WARNING_SHARE = 0.05
"""Left out beyond this share, a history gets a warning."""


@dataclass(frozen=True, slots=True)
class HistoryAccount:
    """Where the events of a history went; `read` is the sum of all the others.

    Attributes:
        source: "topic", or the file's name.
        read: Records or rows read.
        refused: Reason → events that are none.
        repeated: Events that an earlier one says already, whatever its id.
        bots: Events of learners taken for bots.
        erased: Events of learners that were erased after them.
        control: Events that erase or merge learners.
        unjoined: Events with a course that the catalogue does not hold.
        examples: Some course ids of them, the most frequent first.
        used: Events that are trained on.
        courses_read: Courses of the catalogue as read.
        courses_dropped: Reason → courses left out.
        courses_refused: Reason → records of the catalogue's topic that are no course.
        course_remarks: A line for each of these reasons, with an example.
    """

    source: str
    read: int
    refused: Mapping[str, int]
    repeated: int
    bots: int
    erased: int
    control: int
    unjoined: int
    examples: tuple[str, ...]
    used: int
    courses_read: int
    courses_dropped: Mapping[str, int]
    courses_refused: Mapping[str, int] = field(default_factory=dict)
    course_remarks: tuple[str, ...] = ()

    @property
    def left_out(self) -> float:
        """Share of the events read that were refused or name an unknown course."""
        return (sum(self.refused.values()) + self.unjoined) / self.read if self.read else 0.0

    def lines(self) -> list[str]:
        """The account for a person, a warning included where there is reason for one."""
        refused = _counted(sum(self.refused.values()), "refused", self.refused)
        named = f" (their course is not in the catalogue, such as {', '.join(self.examples)})" if self.examples else ""
        parts = (
            f"{self.read:,} events read",
            refused,
            f"{self.repeated:,} repeated",
            f"{self.bots:,} of bots",
            f"{self.erased:,} erased",
            f"{self.control:,} that erase or merge",
            f"{self.unjoined:,} unjoined{named}",
            f"{self.used:,} used",
        )
        lines = [
            f"history {self.source}: {', '.join(parts)}",
            f"catalogue: {self.courses_read:,} courses read, "
            + _counted(sum(self.courses_dropped.values()), "left out", self.courses_dropped),
            *self.course_remarks,
        ]
        if self.left_out > WARNING_SHARE:
            lines.append(
                f"WARNING: {self.left_out:.0%} of the history was left out as refused or unjoined: what is learned and "
                "measured here comes from the rest"
            )
        return lines

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "source": self.source,
            "read": self.read,
            "refused": dict(self.refused),
            "repeated": self.repeated,
            "bots": self.bots,
            "erased": self.erased,
            "control": self.control,
            "unjoined": self.unjoined,
            "unjoined_courses": list(self.examples),
            "used": self.used,
            "left_out": round(self.left_out, 4),
            "courses_read": self.courses_read,
            "courses_dropped": dict(self.courses_dropped),
            "courses_refused": dict(self.courses_refused),
            "course_remarks": list(self.course_remarks),
        }


def account_for(
    history: History,
    events: CleaningReport,
    catalogue: CleaningReport,
    settled: Settled,
    known: Collection[str],
) -> HistoryAccount:
    """Adds up what reading, cleaning, the bot rules and erasures did.

    Args:
        history: As read.
        events: What cleaning did to its events.
        catalogue: What cleaning did to its courses.
        settled: The events after cleaning, without those of bots.
        known: Ids of the cleaned catalogue.
    """
    refused = dict(history.refused)
    for reason, number in events.dropped.items():
        if reason != REPEATED:
            refused[str(reason)] = refused.get(str(reason), 0) + number
    kept = settled.events
    strangers = kept.loc[~kept["course_id"].isin(list(known)), "course_id"].value_counts()
    return HistoryAccount(
        source=history.source,
        read=events.received + sum(history.refused.values()),
        refused={str(reason): number for reason, number in refused.items()},
        repeated=events.dropped.get(REPEATED, 0),
        bots=events.kept - len(kept) - settled.erased - settled.control,
        erased=settled.erased,
        control=settled.control,
        unjoined=int(strangers.sum()),
        examples=tuple(repr(str(course_id)[:40]) for course_id in strangers.index[:3]),
        used=len(kept) - int(strangers.sum()),
        courses_read=catalogue.received,
        courses_dropped=dict(catalogue.dropped),
        courses_refused=dict(history.catalogue.refused),
        course_remarks=(*history.catalogue.remarks(), *prerequisite_remarks(history.courses)),
    )


def _counted(total: int, what: str, by_reason: Mapping[str, int]) -> str:
    said = ", ".join(f"{number:,} {reason}" for reason, number in by_reason.items())
    return f"{total:,} {what}" + (f" ({said})" if said else "")
