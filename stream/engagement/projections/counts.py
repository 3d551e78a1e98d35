"""Counts: records by what became of them, moved in the same step as the fence."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.keys import COUNTS
from recsys.online_store import ShardState
from recsys.online_store.operations import CounterAdd, Operation, Read
from stream.engagement.projections.events import Events


class Counts:
    """Outcome → records. Together they are all records up to and including the fence."""

    def reads(self, events: Events) -> Sequence[Read]:
        """Nothing."""
        return []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds the batch's records."""
        return [CounterAdd(COUNTS, events.outcomes)]
