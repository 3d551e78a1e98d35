"""The learners of one batch: their records as they were stored and as they are after the events folded so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recsys.errors import UnreadableState
from recsys.keys import ENGAGEMENT, ERASED, MERGED
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF
from recsys.record import EMPTY, Record, RecordRules, join, unpack
from stream.engagement.record_changes import Change, Merged
from stream.engagement.record_reads import erased_ms, merged_of, most_courses

_NONE: Mapping[str, Any] = {}


class Learner:
    """One learner during a batch: stored records as they were, and all as they are, as far as they were looked at.

    Attributes:
        user: Their id.
        stored: Course → packed record, of the courses that were read; None where there is none.
        whole: Whether all their records were read.
        courses: Records they have; kept up for whole learners only.
        before: Course → the record that was stored, of those looked at.
        now: Course → the record as it is.
        erased_ms: The time of their latest erasure, ms since 1970 UTC; 0 for none.
        merged: The merge that holds; None for none.
    """

    __slots__ = ("before", "courses", "erased_ms", "merged", "now", "stored", "user", "whole")

    def __init__(self, user: str, stored: Mapping[str, bytes | None], *, whole: bool) -> None:
        self.user, self.stored, self.whole = user, stored, whole
        self.courses = len(stored) if whole else 0
        self.before: dict[str, Record] = {}
        self.now: dict[str, Record] = {}
        self.erased_ms = 0
        self.merged: Merged | None = None


class Learners:
    """Learner → their records, read from the shard's state as they are needed.

    Args:
        state: What `stream.engagement.record_reads` asked for.
        rules: Of records.
        max_courses: Records kept of a learner; a quarter more are put up with between two evictions.
    """

    def __init__(self, state: ShardState, rules: RecordRules, max_courses: int) -> None:
        self.known: dict[str, Learner] = {}
        self._state, self._rules = state, rules
        self._limit, self._most = max_courses, most_courses(max_courses)
        self._stored = state.values.get(ENGAGEMENT, _NONE)
        self._whole = state.whole.get(ENGAGEMENT, _NONE)
        self._erased = state.values.get(ERASED, _NONE).get(SHARD_ITSELF, _NONE)
        self._merged = state.values.get(MERGED, _NONE).get(SHARD_ITSELF, _NONE)

    def found(self, user: str) -> Learner:
        """A learner who was not looked at before."""
        whole = self._whole.get(user) if self._whole else None
        if whole is None:
            learner = Learner(user, self._stored.get(user, _NONE), whole=False)
        else:
            learner = Learner(user, whole, whole=True)
        erased, merged = self._erased.get(user), self._merged.get(user)
        if erased:
            learner.erased_ms = erased_ms(self._state, erased)
        if merged:
            learner.merged = merged_of(self._state, merged)
        self.known[user] = learner
        return learner

    def load(self, learner: Learner, course: str) -> Record:
        """A record that was not looked at before; `EMPTY` where there is none.

        Raises:
            UnreadableState: What is stored is no record that this release can read.
        """
        packed = learner.stored.get(course)
        if packed is None:
            return EMPTY
        try:
            record = unpack(packed)
        except UnreadableState as error:
            key = self._state.key(ENGAGEMENT, learner.user)
            raise UnreadableState(key, error.problem, remedy=error.remedy) from None
        learner.before[course] = learner.now[course] = record
        return record

    def load_all(self, learner: Learner) -> None:
        """All records of a learner."""
        for course in learner.stored:
            if course not in learner.now:
                self.load(learner, course)

    def join(self, learner: Learner, course: str, addition: Record) -> bool:
        """Joins a record; returns whether that changed anything."""
        now = learner.now.get(course)
        if now is None:
            now = self.load(learner, course)
        after = join(now, addition)
        if after is now:
            return False
        learner.now[course] = after
        if learner.whole and not now.touch_ms:
            self.grown(learner)
        return True

    def grown(self, learner: Learner) -> None:
        """Counts a record that is new, of a whole learner; evicts down to the limit when there are a quarter more."""
        learner.courses += 1
        if learner.courses > self._most:
            self._evict(learner)

    def _evict(self, learner: Learner) -> None:
        self.load_all(learner)
        ranked = sorted(
            (self._rules.done_until(record) is not None, self._rules.engagement(record), course)
            for course, record in learner.now.items()
            if record.touch_ms
        )
        for *_, course in ranked[: len(ranked) - self._limit]:
            learner.now[course] = EMPTY
        learner.courses = min(learner.courses, self._limit)

    def changes(self, learner: Learner) -> Iterator[Change]:
        """The records of a learner that differ from what was stored."""
        engagement, flow_engagement = self._rules.engagement, self._rules.flow_engagement
        before, whole = learner.before.get, learner.whole
        for course, now in learner.now.items():
            was = before(course, EMPTY)
            if was is now or (whole and was == now):
                continue
            flows = now.flows
            alone = len(flows) == 1 and not now.registers and not now.quarter  # the commonest
            yield Change(course, was, now, flow_engagement(flows[0]) if alone else engagement(now))
