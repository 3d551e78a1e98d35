"""A course that comes into the catalogue while everything runs, and is retired again: when a learner's list follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, product

from infra.devtools.live_learner import LiveLearner
from recsys.catalog import Course, encode_course
from recsys.errors import ServiceUnavailable
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.settings import Settings

_SECONDS = 30.0
_POLL_SECONDS = 0.02
_ACTS_EVERY_S = 0.5

Publish = Callable[[str, bytes | None], None]
"""Writes a record of the catalogue's topic: course id, and value or None for a tombstone."""


@dataclass(frozen=True, slots=True)
class CameAndWent:
    """What became of a course.

    Attributes:
        course: The course.
        rank: Its place in the learner's list, from 1.
        listed_s: From its record to the first list it was on, in seconds; the learner acted meanwhile.
        gone_s: From its tombstone to the first answer without it, in seconds.
    """

    course: Course
    rank: int
    listed_s: float
    gone_s: float


def publisher(settings: Settings) -> Publish:
    """Writes to the topic of the settings; returns when the record is acknowledged."""

    def publish(course_id: str, value: bytes | None) -> None:
        producer = connect(settings, settings.courses_topic)
        try:
            produce(producer, settings.courses_topic, [Record(course_id.encode(), value)])
        finally:
            producer.close(timeout=1)

    return publish


def come_and_go(
    learner: LiveLearner,
    publish: Publish,
    course: Course,
    alike: Sequence[str],
    *,
    seconds: float = _SECONDS,
    acts_every_s: float = _ACTS_EVERY_S,
) -> CameAndWent:
    """Publishes a course, has the learner act on others until their list has it, and retires it.

    A list is ranked anew with its learner's next event, so what shows the new course is an event after it was placed.

    Args:
        learner: Whose list.
        publish: Writes the catalogue.
        course: The new one.
        alike: Courses of its subject, for the learner to act on.
        seconds: How long the list may take to follow, each way.
        acts_every_s: Seconds between two events of the learner.

    Raises:
        ServiceUnavailable: The list did not follow in time, or something does not answer.
    """
    start, acted_at = time.perf_counter(), 0.0
    acts = cycle(product(("play", "view"), alike))  # the same again is a later touch, and ranks anew
    publish(course.course_id, encode_course(course))
    while course.course_id not in (listed := learner.ask().course_ids):
        now = time.perf_counter()
        if now - start > seconds:
            raise ServiceUnavailable(f"the new course {course.course_id} was on no list {seconds:g} s after its record")
        if now - acted_at > acts_every_s:
            kind, other = next(acts)
            learner.act([other], kind)
            acted_at = now
        time.sleep(_POLL_SECONDS)
    listed_s = time.perf_counter() - start
    start = time.perf_counter()
    publish(course.course_id, None)
    while course.course_id in learner.ask().course_ids:
        if time.perf_counter() - start > seconds:
            raise ServiceUnavailable(f"the retired course {course.course_id} was still listed {seconds:g} s after")
        time.sleep(_POLL_SECONDS)
    return CameAndWent(course, listed.index(course.course_id) + 1, listed_s, time.perf_counter() - start)
