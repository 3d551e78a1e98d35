"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: a problem loses or falsifies something, or keeps a process from working."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        check: What was looked at.
        level: How bad it is.
        found: What was found, on one line; never a secret.
        remedy: What to do about it; empty where `found` says it, or nothing is to be done.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, remedy: str = "") -> Finding:
    """To be known."""
    return Finding(check, Level.WARNING, found, remedy)


def problem(check: str, found: object, remedy: str = "") -> Finding:
    """To be mended; an error's message is its text."""
    return Finding(check, Level.PROBLEM, " ".join(str(found).split()), remedy)
