"""Done: until when a course is not to be recommended to a learner; a function of their record."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.keys import DONE
from recsys.online_store import ShardState
from recsys.online_store.operations import DeleteFields, Drop, Operation, PutValues, Read
from stream.engagement.projections.events import Events


class DoneCourses:
    """Learner → course → time, of courses enrolled in, completed, dismissed or left not long ago."""

    def reads(self, events: Events) -> Sequence[Read]:
        """Nothing: the records say it."""
        return []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Writes the times that changed, deletes those that there are no more."""
        done_until, gone = events.rules.done_until, set(events.changes.gone)
        written: dict[str, dict[str, bytes]] = {}
        deleted: dict[str, list[str]] = {}
        for user, changed in events.changes.by_learner.items():
            if user in gone:
                continue
            for change in changed:
                was, now = change.was, change.now
                if not (now.registers or now.quarter or was.registers or was.quarter):
                    continue
                until, before = done_until(now), done_until(was)
                if until == before:
                    continue
                if until is None:
                    deleted.setdefault(user, []).append(change.course)
                else:
                    written.setdefault(user, {})[change.course] = b"%d" % until
        return [Drop(DONE, events.changes.gone), DeleteFields(DONE, deleted), PutValues(DONE, written)]
