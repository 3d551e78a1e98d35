"""xAPI's words: what each verb on each type of object is to us. The object decides, never the verb alone.

Sources: event-routing-backends of Open edX, logstore_xapi of Moodle, cmi5, the video profile, ADL's vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

VOIDED: Final = "http://adlnet.gov/expapi/verbs/voided"
COMPLETED: Final = "http://adlnet.gov/expapi/verbs/completed"
SESSION: Final = "https://w3id.org/xapi/openedx/extensions/session-id"
PROGRESS: Final = "https://w3id.org/xapi/cmi5/result/extensions/progress"
VIDEO_LENGTH: Final = "https://w3id.org/xapi/video/extensions/length"


PROGRESSED: Final = "http://adlnet.gov/expapi/verbs/progressed"
COMPLETING: Final = frozenset({COMPLETED, PROGRESSED})
"""Verbs that tell of a part of a course that it is complete."""


class Thing(StrEnum):
    """What kind of activity a statement is about."""

    COURSE = "course"
    VIDEO = "video"
    PART = "part"
    """A module, a block, a lesson, a problem: something inside a course."""

    OTHER = "other"


THINGS: Final = MappingProxyType(
    {
        "http://adlnet.gov/expapi/activities/course": Thing.COURSE,
        "http://id.tincanapi.com/activitytype/lms/course": Thing.COURSE,
        "https://w3id.org/xapi/cmi5/activitytype/course": Thing.COURSE,
        "https://w3id.org/xapi/video/activity-type/video": Thing.VIDEO,
        "http://activitystrea.ms/schema/1.0/video": Thing.VIDEO,
        "http://id.tincanapi.com/activitytype/lms/module": Thing.PART,
        "http://id.tincanapi.com/activitytype/resource": Thing.PART,
        "http://adlnet.gov/expapi/activities/module": Thing.PART,
        "http://adlnet.gov/expapi/activities/lesson": Thing.PART,
        "http://adlnet.gov/expapi/activities/assessment": Thing.PART,
        "http://adlnet.gov/expapi/activities/question": Thing.PART,
        "http://adlnet.gov/expapi/activities/cmi.interaction": Thing.PART,
    }
)
"""`object.definition.type` → what it is; any other is `Thing.OTHER`."""


class Value(StrEnum):
    """Where the value of an event comes from."""

    NONE = "none"
    LENGTH = "length"
    """Seconds of the whole video, from `context.extensions`."""

    PROGRESS = "progress"
    """0..1, from the percentage in `result.extensions`."""

    SCORE = "score"
    """0..1, `result.score.scaled`."""

    MARK = "mark"
    """1..5, `1 + 4 · result.score.scaled`."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a statement becomes.

    Attributes:
        kind: The event type.
        value: Where its value comes from; a statement without that value is skipped, except for `LENGTH`.
    """

    kind: str
    value: Value = Value.NONE


_COURSE: Final = {
    "http://adlnet.gov/expapi/verbs/registered": Meaning("enroll"),
    "http://id.tincanapi.com/verb/unregistered": Meaning("unenroll"),
    "http://activitystrea.ms/leave": Meaning("unenroll"),
    "http://activitystrea.ms/schema/1.0/leave": Meaning("unenroll"),
    "http://adlnet.gov/expapi/verbs/passed": Meaning("complete"),
    COMPLETED: Meaning("complete"),
    "https://w3id.org/xapi/adl/verbs/satisfied": Meaning("complete"),
    "http://adlnet.gov/expapi/verbs/failed": Meaning("uncomplete"),
    PROGRESSED: Meaning("progress", Value.PROGRESS),
    "http://id.tincanapi.com/verb/earned": Meaning("progress", Value.SCORE),
    "http://adlnet.gov/expapi/verbs/experienced": Meaning("view"),
    "http://id.tincanapi.com/verb/viewed": Meaning("view"),
    "https://w3id.org/xapi/adb/verbs/bookmarked": Meaning("bookmark"),
    "http://id.tincanapi.com/verb/bookmarked": Meaning("bookmark"),
    "http://id.tincanapi.com/verb/rated": Meaning("rate", Value.MARK),
}

_VIDEO: Final = {
    "https://w3id.org/xapi/video/verbs/played": Meaning("play"),
    COMPLETED: Meaning("play", Value.LENGTH),
}

_PART: Final = {
    # The progress is of the part, and how many parts the course has is not said: a day on which something was done.
    PROGRESSED: Meaning("play"),
    COMPLETED: Meaning("play"),
    "http://id.tincanapi.com/verb/viewed": Meaning("play"),
}

MEANINGS: Final = MappingProxyType(
    {
        (verb, thing): meaning
        for thing, verbs in ((Thing.COURSE, _COURSE), (Thing.VIDEO, _VIDEO), (Thing.PART, _PART))
        for verb, meaning in verbs.items()
    }
)
"""(verb, what it is about) → event; a pair that is not here says nothing about what a learner prefers."""

VERBS: Final = frozenset({VOIDED, *(verb for verb, _ in MEANINGS)})
"""Every verb that means something on some kind of object."""
