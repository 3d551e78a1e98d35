"""What an import gives back: frames, and what became of every row of every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from batch.stages import Stage, silent

MANY_REFUSED = 0.05
"""Share of refused rows from which a person is warned."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an importer is told beside the place of its files.

    Attributes:
        arrival_ms: Now, ms since 1970 UTC; events later than 5 minutes after it are refused.
        date_format: How dates are written, in the codes of `datetime.strptime`; None: decided from the whole column.
        stage: Shows progress.
    """

    arrival_ms: int
    date_format: str | None = None
    stage: Stage = silent


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows with one reason, and the first of them: its row, column, what was expected and received."""

    rows: int
    example: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file's rows: `read` is `used` plus the sums of `left_out` and `refused`.

    Attributes:
        file: Its name.
        read: Rows in it.
        used: Rows that became an event or a course.
        left_out: Reason → rows that are well-formed and not wanted (a purchase without a customer, a repeat).
        refused: Reason → rows with a bad value; a `RefusalReason` or `empty_title`.
        repaired: What was put right → rows that are used all the same.
    """

    file: str
    read: int
    used: int
    left_out: Mapping[str, int]
    refused: Mapping[str, Refused]
    repaired: Mapping[str, Refused]

    @property
    def refused_rows(self) -> int:
        """Rows refused for any reason."""
        return sum(refused.rows for refused in self.refused.values())

    @property
    def is_mostly_good(self) -> bool:
        """Whether the share of refused rows is no reason for a warning."""
        return self.refused_rows <= MANY_REFUSED * self.read

    def __str__(self) -> str:
        parts = [f"{self.file}: {self.read} rows read, {self.used} used"]
        if self.left_out:
            parts.append("left out: " + ", ".join(f"{rows} {reason}" for reason, rows in self.left_out.items()))
        for word, some in (("refused", self.refused), ("repaired", self.repaired)):
            if some:
                shown = [f"{found.rows} {reason} ({found.example})" for reason, found in some.items()]
                parts.append(f"{word}: " + ", ".join(shown))
        return "; ".join(parts)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported set.

    Attributes:
        interactions: Columns of `recsys.files.INTERACTION_COLUMNS` in order of time; None for a set without learners.
        courses: Columns of `recsys.files.COURSE_COLUMNS`.
        files: One report a file.
    """

    interactions: pd.DataFrame | None
    courses: pd.DataFrame
    files: tuple[FileReport, ...]
