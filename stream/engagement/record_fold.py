"""The fold of records: events in offset order, each joined to the record of its learner and course. Pure.

Every event has its outcome against the state that all before it left, whatever batch they came in. What several events
do to one pair is joined before a byte is packed, and a record that did not change is neither packed nor written.

An erasure cuts all records of a learner; so does a merge, which hands them on to another learner
(`recsys.handed_on`). Merges may form chains, which records follow one learner at a time, and cycles: the learner of a
cycle with the smallest id keeps the records, whatever the order in which the merges came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.errors import UnreadableState
from recsys.events import Interaction
from recsys.handed_on import HandedOn
from recsys.keys import ENGAGEMENT, ERASED, MERGED
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF
from recsys.record import EMPTY, FLOW_NUMBER, Record, RecordRules, flow_of, join, join_flow, record_of, unpack
from stream.engagement.record_changes import ACCEPTED, REROUTED, UNCHANGED, Change, Event, Merged, RecordChanges
from stream.engagement.record_reads import erased_ms, merged_of, most_courses

LONGEST_PATH = 16
"""Learners through whom records are handed on; then the one they came to keeps them, merged or not."""


def fold_records(events: Sequence[Event], state: ShardState, rules: RecordRules, max_courses: int) -> RecordChanges:
    """Joins every event to the record of its learner and course.

    Args:
        events: In offset order.
        state: What the reads above asked for.
        rules: Of records.
        max_courses: Records kept of a learner; when there are a quarter more, the lowest engagement goes, of courses
            that may be recommended before others.

    Raises:
        UnreadableState: A stored record or register is none that this release can read.
    """
    return _Fold(state, rules, max_courses).run(events)


class _Learner:
    """One learner during a batch: stored records as they were, and all as they are, as far as they were looked at."""

    __slots__ = ("before", "courses", "erased_ms", "merged", "now", "stored", "user", "whole")

    def __init__(self, user: str, stored: Mapping[str, bytes | None], *, whole: bool) -> None:
        self.user, self.stored, self.whole = user, stored, whole
        self.courses = len(stored) if whole else 0
        self.before: dict[str, Record] = {}
        self.now: dict[str, Record] = {}
        self.erased_ms = 0
        self.merged: Merged | None = None


_NONE: Mapping[str, Any] = {}


class _Fold:
    def __init__(self, state: ShardState, rules: RecordRules, max_courses: int) -> None:
        self._state, self._rules = state, rules
        self._limit, self._most = max_courses, most_courses(max_courses)
        self._learners: dict[str, _Learner] = {}
        self._stored = state.values.get(ENGAGEMENT, _NONE)
        self._whole = state.whole.get(ENGAGEMENT, _NONE)
        self._erased = state.values.get(ERASED, _NONE).get(SHARD_ITSELF, _NONE)
        self._merged = state.values.get(MERGED, _NONE).get(SHARD_ITSELF, _NONE)
        self._changes = RecordChanges()
        self._outgoing: dict[tuple[str, tuple[str, ...]], tuple[dict[str, Record], int]] = {}

    def run(self, events: Sequence[Event]) -> RecordChanges:
        learners, saw, rules, load = self._learners, self._changes.seen.append, self._rules, self._load
        bucket_ms, accepted, unchanged = rules.bucket_ms, 0, 0
        for event in events:
            user, course = event.user_id, event.course_id
            learner = learners.get(user)
            if learner is None:
                learner = learners[user] = self._found(user)
            if not course or learner.merged is not None:
                self._changes.outcomes[self._control(learner, event)] += 1
                continue
            now = learner.now.get(course)
            if now is None:
                now = load(learner, course)
            kind, at_ms = event.type, event.timestamp  # type: ignore[union-attr]  # only an Interaction has a course
            if kind in FLOW_NUMBER and not learner.erased_ms:
                after = join_flow(now, at_ms, flow_of(kind, at_ms, bucket_ms))
            else:
                addition = rules.without(record_of(event, rules), learner.erased_ms)  # type: ignore[arg-type]
                if not addition.touch_ms:
                    unchanged += 1
                    continue
                after = join(now, addition)
            saw(event)
            if after is now:
                unchanged += 1
                continue
            accepted += 1
            learner.now[course] = after
            if learner.whole and not now.touch_ms:
                self._grown(learner)
        outcomes = self._changes.outcomes
        outcomes[ACCEPTED] += accepted
        outcomes[UNCHANGED] += unchanged
        return self._ended()

    def _found(self, user: str) -> _Learner:
        whole = self._whole.get(user) if self._whole else None
        if whole is None:
            learner = _Learner(user, self._stored.get(user, _NONE), whole=False)
        else:
            learner = _Learner(user, whole, whole=True)
        erased, merged = self._erased.get(user), self._merged.get(user)
        if erased:
            learner.erased_ms = erased_ms(self._state, erased)
        if merged:
            learner.merged = merged_of(self._state, merged)
        return learner

    def _join(self, learner: _Learner, course: str, addition: Record) -> bool:
        """Whether it changed the record."""
        now = learner.now.get(course)
        if now is None:
            now = self._load(learner, course)
        after = join(now, addition)
        if after is now:
            return False
        learner.now[course] = after
        if learner.whole and not now.touch_ms:
            self._grown(learner)
        return True

    def _grown(self, learner: _Learner) -> None:
        learner.courses += 1
        if learner.courses > self._most:
            self._evict(learner)

    def _load(self, learner: _Learner, course: str) -> Record:
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

    def _load_all(self, learner: _Learner) -> None:
        for course in learner.stored:
            if course not in learner.now:
                self._load(learner, course)

    def _evict(self, learner: _Learner) -> None:
        self._load_all(learner)
        ranked = sorted(
            (self._rules.done_until(record) is not None, self._rules.engagement(record), course)
            for course, record in learner.now.items()
            if record.touch_ms
        )
        for *_, course in ranked[: len(ranked) - self._limit]:
            learner.now[course] = EMPTY
        learner.courses = min(learner.courses, self._limit)

    def _control(self, learner: _Learner, event: Event) -> str:
        """Applies what is no event with a course of a learner who was not merged; returns its outcome."""
        if isinstance(event, HandedOn):
            return self._handed_on(learner, event)
        if event.type == "merge":
            return self._merge(learner, event)
        if learner.merged is not None:
            if event.type == "erase":
                return self._erase_merged(learner, event.timestamp)
            addition = self._rules.without(record_of(event, self._rules), learner.erased_ms)
            if not addition.touch_ms:
                return UNCHANGED
            return self._hand_on(learner, (), {event.course_id: addition}, 0)
        return self._erase(learner, event.timestamp, event)

    def _erase_merged(self, learner: _Learner, until_ms: int) -> str:
        """Whoever has the records is erased; remembered here, so that the same event again erases nothing newer."""
        if until_ms <= learner.erased_ms:
            return UNCHANGED
        learner.erased_ms = self._changes.erased[learner.user] = until_ms
        return self._hand_on(learner, (), {}, until_ms)

    def _erase(self, learner: _Learner, until_ms: int, event: Event) -> str:
        if until_ms <= learner.erased_ms:
            return UNCHANGED
        learner.erased_ms = self._changes.erased[learner.user] = until_ms
        self._load_all(learner)
        for course, record in learner.now.items():
            learner.now[course] = self._rules.without(record, until_ms)
        self._forget(learner, event)
        return ACCEPTED

    def _forget(self, learner: _Learner, event: Event) -> None:
        learner.courses = sum(1 for record in learner.now.values() if record.touch_ms)
        self._changes.forgotten[learner.user] = False
        self._changes.seen.append(event)

    def _merge(self, learner: _Learner, event: Interaction) -> str:
        merged, was = Merged(event.timestamp, event.into or ""), learner.merged
        if was is not None and (was.at_ms, was.into) >= (merged.at_ms, merged.into):
            return UNCHANGED
        learner.merged = self._changes.merged[learner.user] = merged
        if was is None:
            self._load_all(learner)
            records = {course: record for course, record in learner.now.items() if record.touch_ms}
            learner.now.update(dict.fromkeys(records, EMPTY))
            self._forget(learner, event)
            if records:
                self._hand_on(learner, (), records, 0)
        return ACCEPTED

    def _handed_on(self, learner: _Learner, handed: HandedOn) -> str:
        if learner.merged is not None:
            if not self._ends_at(learner, learner.merged.into, handed.path):
                return self._pass_on(learner, handed)
            learner.merged = self._changes.merged[learner.user] = None
        changed = False
        if handed.erased_until_ms:
            changed = self._erase(learner, handed.erased_until_ms, handed) == ACCEPTED
        for course, record in handed.records.items():
            kept = self._rules.without(record, learner.erased_ms) if learner.erased_ms else record
            changed |= bool(kept.touch_ms) and self._join(learner, course, kept)
        return ACCEPTED if changed else UNCHANGED

    def _pass_on(self, learner: _Learner, handed: HandedOn) -> str:
        """Hands on what came to a merged learner, but for what was before their own erasure."""
        kept = {course: self._rules.without(record, learner.erased_ms) for course, record in handed.records.items()}
        kept = {course: record for course, record in kept.items() if record.touch_ms}
        if not kept and not handed.erased_until_ms:
            return UNCHANGED
        return self._hand_on(learner, handed.path, kept, handed.erased_until_ms)

    @staticmethod
    def _ends_at(learner: _Learner, into: str, path: tuple[str, ...]) -> bool:
        """Whether records that came to a merged learner stay: they went round a cycle in which it has the least id."""
        if into not in path:
            return len(path) >= LONGEST_PATH
        return learner.user <= min(path[path.index(into) :])

    def _hand_on(
        self, learner: _Learner, path: tuple[str, ...], records: Mapping[str, Record], erased_until_ms: int
    ) -> str:
        """Notes what goes to the learner that this one was merged into; of one batch it is joined."""
        assert learner.merged is not None  # noqa: S101 - the callers have looked
        key = (learner.merged.into, (*path, learner.user))
        held, until = self._outgoing.get(key, ({}, 0))
        for course, record in records.items():
            held[course] = join(held.get(course, EMPTY), record)
        self._outgoing[key] = held, max(until, erased_until_ms)
        return REROUTED

    def _ended(self) -> RecordChanges:
        changes, scores, trend_of = self._changes, self._rules.scores, self._rules.trend
        pairs = changes.pairs
        for user, learner in self._learners.items():
            before = learner.before.get
            for course, now in learner.now.items():
                was = before(course, EMPTY)
                if was is now or (learner.whole and was == now):
                    continue
                engagement, trend = scores(now)
                if not was.touch_ms:
                    trend_before = 0.0
                elif _differ_in_touch(was, now):
                    trend_before = trend
                else:
                    trend_before = trend_of(was)
                pairs.append(Change(user, course, was, now, engagement, trend_before, trend))
            if learner.whole and learner.stored and not learner.courses:
                changes.gone.append(user)
            if user in changes.forgotten:
                changes.forgotten[user] = learner.courses > 0
        changes.handed_on = [
            HandedOn(into, path, records, until) for (into, path), (records, until) in self._outgoing.items()
        ]
        return changes


def _differ_in_touch(was: Record, now: Record) -> bool:
    """Whether a later touch is all that is new. What a join takes over unchanged is the same object."""
    return (
        was.flows is now.flows
        and was.registers is now.registers
        and was.quarter == now.quarter
        and was.reached_ms == now.reached_ms
    )
