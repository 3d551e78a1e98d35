"""What the fine-tuner remembers of learners: their records and bot features, folded from the topic itself.

It reads nothing of Redis: what stands there is of now, and a replay needs what stood there then. The records are the
same joins as the workers' (`recsys.record`), the bot rules the same rules (`recsys.bots`), event by event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from recsys.bots import BotFeatures
from recsys.events import Interaction
from recsys.model.links import LikedPairs
from recsys.record import EMPTY, Record, RecordRules, join, record_of, unpack

_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_HIGHEST_CHAIN = 16
"""Merges followed from one learner; a cycle ends there."""


class _Learner:
    """One learner: course → record, bot features, and until when they were erased (ms since 1970 UTC).

    What the checkpoint has of them, and what they like, is kept until they act again: of many learners few do between
    two checkpoints, or two refreshes of the matrices.
    """

    __slots__ = ("bot", "courses", "encoded", "erased_ms", "liked")

    def __init__(self) -> None:
        self.courses: dict[str, Record] = {}
        self.bot = BotFeatures()
        self.erased_ms = 0
        self.encoded: bytes | None = None
        self.liked: Sequence[tuple[str, int]] | None = None


class Touch(NamedTuple):
    """What an event of one learner and course met and left.

    Attributes:
        user: Whose record it is, after merges.
        first: Whether the learner had no record of the course.
        history: Of how many other courses they had one.
        liked: Whether the engagement with it is positive now.
        bot: Whether the rules call the learner a bot.
    """

    user: str
    first: bool
    history: int
    liked: bool
    bot: bool


class Change(NamedTuple):
    """What became of a record."""

    course: str
    was: Record
    now: Record


class Folded(NamedTuple):
    """What an event did.

    Attributes:
        touch: None for an event that names no course, or that an erasure made nothing.
        changes: Of records, of whichever learner.
    """

    touch: Touch | None
    changes: Sequence[Change] = ()


class Learners:
    """Learner → records. Who did nothing for longest is forgotten above a limit.

    Args:
        rules: Of records.
        limit: Most learners remembered.
        max_courses: Most courses remembered of one; who has them all gains no more.
    """

    def __init__(self, rules: RecordRules, *, limit: int, max_courses: int) -> None:
        self._rules, self._limit, self._max_courses = rules, limit, max_courses
        self._known: dict[str, _Learner] = {}
        self._merged: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def engagement(self, user: str) -> Mapping[str, float]:
        """Course → stored forward-decayed sum, in the order of first touches."""
        learner = self._known.get(user)
        if learner is None:
            return {}
        return {course: self._rules.engagement(record) for course, record in learner.courses.items()}

    def liked(self, row_of: Mapping[str, int]) -> LikedPairs:
        """The pairs of learners that are no bots and known courses that they like; learners are numbered here alone.

        Args:
            row_of: Course → row.
        """
        liked = [self._liked(learner) for learner in self._known.values() if learner.bot.state() != "bot"]
        users = np.arange(len(liked), dtype=np.int32).repeat([len(each) for each in liked])
        rows = np.fromiter((row_of.get(course, -1) for each in liked for course, _ in each), np.int32, len(users))
        times = np.fromiter((touch_ms for each in liked for _, touch_ms in each), np.int64, len(users))
        known = rows >= 0
        return LikedPairs(users[known], rows[known], times[known])

    def liked_by(self, user: str) -> list[str]:
        """The courses that a learner likes; none of a bot."""
        learner = self._known.get(user)
        return [] if learner is None or learner.bot.state() == "bot" else [course for course, _ in self._liked(learner)]

    def _liked(self, learner: _Learner) -> Sequence[tuple[str, int]]:
        """Course and last touch of each record that is liked."""
        if learner.liked is None:
            engagement = self._rules.engagement
            records = learner.courses.items()
            learner.liked = [(course, record.touch_ms) for course, record in records if engagement(record) > 0]
        return learner.liked

    def records_of(self, courses: Collection[str]) -> list[Change]:
        """The records of some courses, of learners that are no bots, as changes from nothing."""
        learners = (learner for learner in self._known.values() if learner.bot.state() != "bot")
        return [
            Change(course, EMPTY, learner.courses[course])
            for learner in learners
            for course in courses
            if course in learner.courses
        ]

    def owner(self, user: str) -> str:
        """Who has a learner's records after merges."""
        for _ in range(_HIGHEST_CHAIN):
            if user not in self._merged:
                return user
            user = self._merged[user]
        return user

    def names(self, user: str) -> set[str]:
        """The ids of a learner: their own, and those that were merged into it."""
        return {user, *(each for each in self._merged if self.owner(each) == user)}

    def apply(self, event: Interaction) -> Folded:
        """Folds one event."""
        learner = self._of(event.user_id)
        learner.bot.add(event)
        if event.type == "merge" and event.into:
            return Folded(None, self._merge(event.user_id, event.into))
        if event.type == "erase":
            return Folded(None, self._erase(self.owner(event.user_id), event.timestamp))
        user, is_bot = self.owner(event.user_id), learner.bot.state() == "bot"
        learner = self._of(user)
        before = learner.courses.get(event.course_id, EMPTY)
        addition = record_of(event, self._rules)
        if learner.erased_ms:
            addition = self._rules.without(addition, learner.erased_ms)
        if not addition.touch_ms:
            return Folded(None)
        after = join(before, addition)
        others = len(learner.courses) - (event.course_id in learner.courses)
        touch = Touch(user, not before.touch_ms, others, self._rules.engagement(after) > 0, is_bot)
        if not before.touch_ms and len(learner.courses) >= self._max_courses:
            return Folded(touch)
        learner.courses[event.course_id] = after
        return Folded(touch, [] if after is before else [Change(event.course_id, before, after)])

    def _of(self, user: str) -> _Learner:
        """A learner who is about to change."""
        learner = self._known.pop(user, None)
        if learner is None:
            learner = _Learner()
            if len(self._known) >= self._limit:
                del self._known[next(iter(self._known))]
        learner.encoded = learner.liked = None
        self._known[user] = learner  # now the last to be forgotten
        return learner

    def _merge(self, user: str, into: str) -> list[Change]:
        target = self.owner(into)
        source = self.owner(user)
        if source == target:
            return []
        courses = self._of(source).courses
        self._known.pop(source)
        self._merged[source] = target
        if len(self._merged) > self._limit:
            del self._merged[next(iter(self._merged))]
        learner = self._of(target)
        changes = []
        for course, record in courses.items():
            changes.append(Change(course, record, EMPTY))
            before = learner.courses.get(course, EMPTY)
            if before.touch_ms or len(learner.courses) < self._max_courses:
                learner.courses[course] = join(before, record)
                changes.append(Change(course, before, learner.courses[course]))
        return changes

    def _erase(self, user: str, at_ms: int) -> list[Change]:
        learner = self._of(user)
        learner.erased_ms = max(learner.erased_ms, at_ms)
        left = {course: self._rules.without(record, at_ms) for course, record in learner.courses.items()}
        changes = [Change(course, learner.courses[course], record) for course, record in left.items()]
        learner.courses = {course: record for course, record in left.items() if record.touch_ms}
        return changes

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        known = [self._encoded(user, learner) for user, learner in self._known.items()]
        return {"known": known, "merged": self._merged}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._known = dict(_decoded(state["known"]))
        self._merged = dict(state["merged"])

    def _encoded(self, user: str, learner: _Learner) -> bytes:
        if learner.encoded is None:
            courses = {course: self._rules.packed(record) for course, record in learner.courses.items()}
            learner.encoded = _encode((user, learner.bot.packed(), learner.erased_ms, courses))
        return learner.encoded


def _decoded(known: Sequence[bytes]) -> Iterator[tuple[str, _Learner]]:
    for encoded in known:
        user, bot, erased_ms, courses = _decode(encoded)
        learner = _Learner()
        learner.bot, learner.erased_ms = BotFeatures(bot), erased_ms
        learner.courses = {course: unpack(packed) for course, packed in courses.items()}
        learner.encoded = encoded
        yield user, learner
