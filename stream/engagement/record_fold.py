"""The fold of records: events in offset order, each joined to the record of its learner and course. Pure.

Every event has its outcome against the state that all before it left, whatever batch they came in. What several events
do to one pair is joined before a byte is packed, and a record that did not change is neither packed nor written.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys.engagement import LANDMARK_MS
from recsys.online_store import ShardState
from recsys.record import FLOW_NUMBER, FLOW_TYPES, Record, RecordRules, join, join_flow, record_of
from stream.engagement.record_changes import ACCEPTED, UNCHANGED, Event, RecordChanges
from stream.engagement.record_control import Control
from stream.engagement.record_learners import Learners


def fold_records(events: Sequence[Event], state: ShardState, rules: RecordRules, max_courses: int) -> RecordChanges:
    """Joins every event to the record of its learner and course.

    Args:
        events: In offset order.
        state: What `stream.engagement.record_reads` asked for.
        rules: Of records.
        max_courses: Records kept of a learner; when there are a quarter more, the lowest engagement goes, of courses
            that may be recommended before others.

    Raises:
        UnreadableState: A stored record or register is none that this release can read.
    """
    learners, changes = Learners(state, rules, max_courses), RecordChanges()
    control = Control(learners, changes, rules)
    _join_all(events, learners, control, changes, rules)
    for user, learner in learners.known.items():
        changed = [*learners.changes(learner)]
        if changed:
            changes.by_learner[user] = changed
        if learner.whole and learner.stored and not learner.courses:
            changes.gone.append(user)
        if user in changes.forgotten:
            changes.forgotten[user] = learner.courses > 0
    return changes


def _join_all(
    events: Sequence[Event], learners: Learners, control: Control, changes: RecordChanges, rules: RecordRules
) -> None:
    """Joins the events one by one. Hot path: one turn an event."""
    known, load, saw, bucket_ms = learners.known, learners.load, changes.seen.append, rules.bucket_ms
    flow_number, accepted, unchanged = FLOW_NUMBER.get, 0, 0
    for event in events:
        user, course = event.user_id, event.course_id
        learner = known.get(user)
        if learner is None:
            learner = learners.found(user)
        if not course or learner.merged is not None:
            changes.outcomes[control.apply(learner, event)] += 1
            continue
        at_ms = event.timestamp  # type: ignore[union-attr]  # only an Interaction has a course
        now = learner.now.get(course)
        if now is None:
            now = load(learner, course)
        flow_type = flow_number(event.type)
        if flow_type is not None and not learner.erased_ms:
            flow = (at_ms - LANDMARK_MS) // bucket_ms * FLOW_TYPES + flow_type
            after = join_flow(now, at_ms, flow) if now.touch_ms else Record(at_ms, (flow,))
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
            learners.grown(learner)
    changes.outcomes[ACCEPTED] += accepted
    changes.outcomes[UNCHANGED] += unchanged
