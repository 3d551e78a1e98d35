"""Course keys of Open edX: a run of a course to the course it is a run of.

`course-v1:Org+Course+Run` and the older `Org/Course/Run` are runs of `Org+Course`, which is what is recommended; a
custom course `ccx-v1:Org+Course+Run+ccx@N` is a run of its master course. A library is no course. `Org+Course` itself
is how course-discovery and the pages of the platform name a course apart from its runs.
Forms: opaque-keys, `opaque_keys.edx.locator` (CourseLocator, CCXLocator, LibraryLocator).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

LONGEST_KEY: Final = 255
_PART: Final = r"[\w\-~.:]+"
_RUN: Final = re.compile(rf"course-v1:({_PART})\+({_PART})\+({_PART})(?:\+branch@.*|\+version@.*)?")
_CCX: Final = re.compile(rf"ccx-v1:({_PART})\+({_PART})\+({_PART})\+ccx@\w+")
_OLD: Final = re.compile(r"([\w\-~.]+)/([\w\-~.]+)/([\w\-~.]+)")
_COURSE: Final = re.compile(r"([\w\-~.]+)\+([\w\-~.]+)")
_BLOCK: Final = re.compile(rf"(block|ccx-block)-v1:({_PART})\+({_PART})\+({_PART})(?:\+ccx@(\w+))?\+type@.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CourseRun:
    """A course run, as its key names it.

    Attributes:
        course_id: The course, `Org+Course`: what is recommended.
        run_id: The whole key of the run, as the platform's addresses have it; None where the key names no run.
        org: The organisation, which is the tenant.
    """

    course_id: str
    run_id: str | None
    org: str


@lru_cache(maxsize=65_536)
def course_run(key: str) -> CourseRun | None:
    """The course and the run that a key names; None for a library, an empty key and everything else that is no course.

    Args:
        key: A course key, percent-encoded or not.
    """
    text = unquote(key.strip()) if "%" in key else key.strip().replace(" ", "+")
    if not 0 < len(text) <= LONGEST_KEY:
        return None
    if found := _RUN.fullmatch(text) or _CCX.fullmatch(text) or _OLD.fullmatch(text):
        return CourseRun(f"{found[1]}+{found[2]}", text, found[1])
    if found := _COURSE.fullmatch(text):
        return CourseRun(text, None, found[1])
    return None


def run_of_block(key: str) -> CourseRun | None:
    """The run that a block (`block-v1:Org+Course+Run+type@…`) belongs to; None where the key is no block's."""
    found = _BLOCK.fullmatch(key)
    if found is None:
        return None
    kind, org, course, run, ccx = found.groups()
    return course_run(
        f"course-v1:{org}+{course}+{run}" if kind == "block" else f"ccx-v1:{org}+{course}+{run}+ccx@{ccx}"
    )
