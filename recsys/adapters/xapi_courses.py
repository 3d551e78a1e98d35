"""Which course an activity's id names: a course or block key of Open edX, a page of Moodle, or an id of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from recsys.adapters.course_keys import CourseRun, course_run, run_of_block
from recsys.events import MAX_ID_CHARS

MOODLE_SITE: Final = "1"
"""Moodle's course number of the front page."""

_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
_COURSE_KEY: Final = re.compile(r"(?:course|ccx)-v1:[^/?#\s]+")
_BLOCK_KEY: Final = re.compile(r"(?:block|ccx-block)-v1:[^/?#\s]+")


@dataclass(frozen=True, slots=True)
class Course:
    """The course that a statement is about.

    Attributes:
        course_id: Without its run.
        run_id: The run, where the id names one.
        tenant: The organisation, where the id names one.
    """

    course_id: str
    run_id: str | None = None
    tenant: str | None = None


def course_named(iri: Any, *, known: bool) -> Course | None:
    """The course that an activity's id names.

    Args:
        iri: The id.
        known: Whether the activity is a course by its type, so that an id of an unknown form is the course's own.
    """
    if not isinstance(iri, str):
        return None
    run = _open_edx_run(iri)
    if run is not None:
        return Course(run.course_id, run.run_id, run.org)
    number = _moodle_number(iri)
    if number is not None:
        return None if number == MOODLE_SITE else Course(number)
    usable = known and "library-v1:" not in iri and not _ADDRESS.search(iri) and 0 < len(iri) <= MAX_ID_CHARS
    return Course(iri) if usable else None


def _open_edx_run(iri: str) -> CourseRun | None:
    text = unquote(iri).replace(" ", "+")
    found = _COURSE_KEY.search(text)
    if found is not None:
        return course_run(found[0])
    block = _BLOCK_KEY.search(text)
    return None if block is None else run_of_block(block[0])


def _moodle_number(iri: str) -> str | None:
    """The course's number in `…/course/view.php?id=5`, as Moodle's log has it, too."""
    try:
        parts = urlsplit(iri)
        number = parse_qs(parts.query).get("id", [""])[0] if parts.path.endswith("/course/view.php") else ""
    except ValueError:
        return None
    return number if number.isascii() and number.isdigit() else None
