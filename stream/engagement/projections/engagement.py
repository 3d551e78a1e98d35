"""Engagement: the record of each learner and course, and the learners whose lists a change of it outdates."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.keys import DIRTY, ENGAGEMENT
from recsys.online_store import ShardState
from recsys.online_store.operations import DeleteFields, Drop, Operation, PutValues, Read, SortedSetMark
from recsys.record import pack
from stream.engagement.projections.events import Events
from stream.engagement.record_reads import reads_of_records


class Engagement:
    """Learner → course → packed record; every learner with a change is marked for refresh."""

    def reads(self, events: Events) -> Sequence[Read]:
        """The records touched, and whether their learners were erased or merged."""
        return reads_of_records(events.touched)

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Writes the records that changed, deletes those that were erased, merged or evicted."""
        changes = events.changes
        written: dict[str, dict[str, bytes]] = {}
        deleted: dict[str, list[str]] = {}
        for user, changed in changes.by_learner.items():
            packed = {change.course: pack(change.now, change.engagement) for change in changed if change.now.touch_ms}
            if packed:
                written[user] = packed
            if len(packed) < len(changed):
                deleted[user] = [change.course for change in changed if not change.now.touch_ms]
        for user in changes.gone:
            deleted.pop(user, None)
        return [
            Drop(ENGAGEMENT, changes.gone, indexed=True),
            DeleteFields(ENGAGEMENT, deleted),
            PutValues(ENGAGEMENT, written, indexed=True),
            SortedSetMark(DIRTY, [*written, *(user for user in deleted if user not in written)]),
        ]
