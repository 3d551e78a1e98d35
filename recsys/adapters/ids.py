"""Ids that say what happened, so that the same thing told twice has one id.

Open edX's tracking logs have no event ids, its event bus gives one enrolment two of them, and a repeated log would
get new ones. The record needs none of this (decision 18): ids are for dead letters, logs and people.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("8c0d2f52-6a0b-5c57-9d0e-2f8f6c1f4a10")
"""Of every id made here; another value would give every event of the past a second id."""

DAY_MS: Final = 86_400_000
STATE: Final = "state"
"""The bucket of a state's event: a learner is enrolled in a course or is not, whenever it was said."""


def semantic_id(user_id: str, course_id: str, kind: str, bucket: str | int) -> str:
    """The id of an event: 36 characters, the same for the same learner, course, type and bucket.

    Args:
        user_id: The learner.
        course_id: The course, without its run.
        kind: The event type.
        bucket: `STATE`, a UTC day (`day`), a quarter reached (`quarter`) or what else makes two events one.
    """
    return str(uuid5(NAMESPACE, f"{user_id}|{course_id}|{kind}|{bucket}"))


def day(at_ms: int) -> int:
    """The UTC day of a time in ms since 1970, in days since 1970."""
    return at_ms // DAY_MS


def quarter(progress: float) -> int:
    """The quarter that a progress of 0..1 has reached, rounded down: 0 to 4."""
    return max(0, min(4, int(progress * 4 + 1e-9)))
