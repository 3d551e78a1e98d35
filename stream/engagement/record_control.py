"""What is no event with a course of a learner of their own: erasures, merges, and records that merges hand on.

An erasure cuts all records of a learner; so does a merge, which hands them on to another learner
(`recsys.handed_on`). Merges may form chains, which records follow one learner at a time, and cycles: the learner of a
cycle with the smallest id keeps the records, whatever the order in which the merges came.
"""

from __future__ import annotations

from collections.abc import Mapping

from recsys.events import Interaction
from recsys.handed_on import HandedOn
from recsys.record import EMPTY, Record, RecordRules, record_of
from stream.engagement.record_changes import ACCEPTED, REROUTED, UNCHANGED, Event, Merged, RecordChanges
from stream.engagement.record_learners import Learner, Learners

LONGEST_PATH = 16
"""Learners through whom records are handed on; then the one they came to keeps them, merged or not."""


class Control:
    """Applies such events to the learners of a batch.

    Args:
        learners: Of the batch.
        changes: Told what follows besides changed records.
        rules: Of records.
    """

    def __init__(self, learners: Learners, changes: RecordChanges, rules: RecordRules) -> None:
        self._learners, self._changes, self._rules = learners, changes, rules

    def apply(self, learner: Learner, event: Event) -> str:
        """Applies an event without a course, or one of a learner who was merged; returns its outcome."""
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

    def _erase_merged(self, learner: Learner, until_ms: int) -> str:
        """Whoever has the records is erased; remembered here, so that the same event again erases nothing newer."""
        if until_ms <= learner.erased_ms:
            return UNCHANGED
        learner.erased_ms = self._changes.erased[learner.user] = until_ms
        return self._hand_on(learner, (), {}, until_ms)

    def _erase(self, learner: Learner, until_ms: int, event: Event) -> str:
        if until_ms <= learner.erased_ms:
            return UNCHANGED
        learner.erased_ms = self._changes.erased[learner.user] = until_ms
        self._learners.load_all(learner)
        for course, record in learner.now.items():
            learner.now[course] = self._rules.without(record, until_ms)
        self._forget(learner, event)
        return ACCEPTED

    def _forget(self, learner: Learner, event: Event) -> None:
        learner.courses = sum(1 for record in learner.now.values() if record.touch_ms)
        self._changes.forgotten[learner.user] = False
        self._changes.seen.append(event)

    def _merge(self, learner: Learner, event: Interaction) -> str:
        merged, was = Merged(event.timestamp, event.into or ""), learner.merged
        if was is not None and (was.at_ms, was.into) >= (merged.at_ms, merged.into):
            return UNCHANGED
        learner.merged = self._changes.merged[learner.user] = merged
        if was is None:
            self._learners.load_all(learner)
            records = {course: record for course, record in learner.now.items() if record.touch_ms}
            learner.now.update(dict.fromkeys(records, EMPTY))
            self._forget(learner, event)
            if records:
                self._hand_on(learner, (), records, 0)
        return ACCEPTED

    def _handed_on(self, learner: Learner, handed: HandedOn) -> str:
        if learner.merged is not None:
            if not _ends_at(learner, learner.merged.into, handed.path):
                return self._pass_on(learner, handed)
            learner.merged = self._changes.merged[learner.user] = None
        changed = False
        if handed.erased_until_ms:
            changed = self._erase(learner, handed.erased_until_ms, handed) == ACCEPTED
        for course, record in handed.records.items():
            kept = self._rules.without(record, learner.erased_ms) if learner.erased_ms else record
            changed |= bool(kept.touch_ms) and self._learners.join(learner, course, kept)
        return ACCEPTED if changed else UNCHANGED

    def _pass_on(self, learner: Learner, handed: HandedOn) -> str:
        """Hands on what came to a merged learner, but for what was before their own erasure."""
        kept = {course: self._rules.without(record, learner.erased_ms) for course, record in handed.records.items()}
        kept = {course: record for course, record in kept.items() if record.touch_ms}
        if not kept and not handed.erased_until_ms:
            return UNCHANGED
        return self._hand_on(learner, handed.path, kept, handed.erased_until_ms)

    def _hand_on(
        self, learner: Learner, path: tuple[str, ...], records: Mapping[str, Record], erased_until_ms: int
    ) -> str:
        """Notes what goes to the learner that this one was merged into.

        Not joined over events: what an erasure at the other learner leaves of joined progress is less than what it
        leaves of its parts, so the result would depend on which events came in one batch.
        """
        assert learner.merged is not None  # noqa: S101 - the callers have looked
        handed = HandedOn(learner.merged.into, (*path, learner.user), records, erased_until_ms)
        self._changes.handed_on.append(handed)
        return REROUTED


def _ends_at(learner: Learner, into: str, path: tuple[str, ...]) -> bool:
    """Whether records that came to a merged learner stay: they went round a cycle in which it has the least id."""
    if into not in path:
        return len(path) >= LONGEST_PATH
    return learner.user <= min(path[path.index(into) :])
