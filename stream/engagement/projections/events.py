"""What a projection folds, and what it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from recsys.engagement import EngagementWeights
from recsys.events import Interaction
from recsys.online_store import ShardState
from recsys.online_store.operations import Operation, Read


@dataclass(frozen=True)
class Events:
    """Events of one batch that lie in one shard, in offset order.

    Attributes:
        events: For `Projection.reads` all that were accepted, for `Projection.fold` those that count.
        digests: What identifies each event within the shard; aligned.
        bucket: The dedupe bucket of the batch: arrival by the broker's clock, divided by the window.
        weights_of: The weight of each event type.
        outcomes: Outcome → records of the batch (accepted, duplicate, refused, rerouted, expired).
    """

    events: Sequence[Interaction]
    digests: Sequence[bytes]
    bucket: int
    weights_of: EngagementWeights
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def touched(self) -> Mapping[str, Collection[str]]:
        """Learner → the courses these events touch, each once."""
        touched: dict[str, dict[str, None]] = {}
        for event in self.events:
            courses = touched.get(event.user_id)
            if courses is None:
                touched[event.user_id] = {event.course_id: None}
            else:
                courses[event.course_id] = None
        return touched

    @cached_property
    def weights(self) -> Sequence[float]:
        """The undecayed weight of each event; aligned."""
        return [*map(self.weights_of.weight, self.events)]


class Projection(Protocol):
    """One effect of events on a shard. Pure: no I/O and no clock."""

    def reads(self, events: Events) -> Sequence[Read]:
        """The state that the fold of these events needs."""
        ...

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """What the events change.

        Args:
            events: Those that count, each once.
            state: What `reads` asked for; possibly for more events than these. It is not to be changed.
        """
        ...
