"""Done: the courses not to be recommended to a learner any more."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.events import is_done
from recsys.keys import DONE
from recsys.online_store import ShardState
from recsys.online_store.operations import Bound, Operation, Read, SetAdd
from stream.engagement.projections.events import Events


class DoneCourses:
    """Learner → courses enrolled in, completed, left or dismissed.

    Args:
        done_progress: The `progress` that completes a course.
        max_done: Courses kept per learner; beyond it arbitrary ones are forgotten, never those just added.
    """

    def __init__(self, done_progress: float, max_done: int) -> None:
        self._done_progress, self._bound = done_progress, Bound(max_done)

    def reads(self, events: Events) -> Sequence[Read]:
        """Nothing."""
        return []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds the courses that events end."""
        done: dict[str, dict[str, None]] = {}
        for event in events.events:
            if is_done(event.type, event.value, done_progress=self._done_progress):
                done.setdefault(event.user_id, {})[event.course_id] = None
        return [SetAdd(DONE, done, self._bound)]
