"""What a projection folds, and what it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from recsys.handed_on import HandedOn
from recsys.online_store import ShardState
from recsys.online_store.operations import Operation, Read
from recsys.record import RecordRules
from stream.engagement.record_changes import Event, RecordChanges


@dataclass(frozen=True)
class Events:
    """Events of one batch that lie in one shard, in offset order.

    Attributes:
        events: All that are valid and in their partition.
        rules: Of records.
        changes: For `Projection.fold` what the events do to records.
        outcomes: For `Projection.fold` outcome → records of the batch.
    """

    events: Sequence[Event]
    rules: RecordRules
    changes: RecordChanges = field(default_factory=RecordChanges)
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def touched(self) -> Mapping[str, Collection[str]]:
        """Learner → the courses these events touch, each once; none for events about a learner alone."""
        touched: dict[str, dict[str, None]] = {}
        for event in self.events:
            courses = touched.get(event.user_id)
            if courses is None:
                courses = touched[event.user_id] = {}
            if event.course_id:
                courses[event.course_id] = None
            elif isinstance(event, HandedOn):
                courses.update(dict.fromkeys(event.records))
        return touched


class Projection(Protocol):
    """One effect of events on a shard. Pure: no I/O and no clock."""

    def reads(self, events: Events) -> Sequence[Read]:
        """The state that the fold of these events needs."""
        ...

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """What the events change.

        Args:
            events: The batch, with what it does to records.
            state: What `reads` asked for; possibly for more events than these. It is not to be changed.
        """
        ...
