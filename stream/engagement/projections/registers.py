"""Registers of a learner: when they were erased, into whom they were merged, and what has to go with them then."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.keys import DIRTY, ERASED, MERGED, TOP
from recsys.online_store import ShardState
from recsys.online_store.operations import (
    SHARD_ITSELF,
    DeleteFields,
    Drop,
    Operation,
    PutValues,
    Read,
    SortedSetMark,
    SortedSetUnmark,
)
from stream.engagement.projections.events import Events


class Registers:
    """Learner → time of the erasure; learner → merge. Both outlive what they took away."""

    def reads(self, events: Events) -> Sequence[Read]:
        """Nothing beyond what the fold of records reads."""
        return []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Writes them. A forgotten learner loses their cached list, and waits for a new one if records are left."""
        changes = events.changes
        if not changes.forgotten and not changes.merged and not changes.erased:
            return []
        erased = {user: b"%d" % until for user, until in changes.erased.items()}
        merged = {user: merge.packed() for user, merge in changes.merged.items() if merge is not None}
        undone = [user for user, merge in changes.merged.items() if merge is None]
        return [
            PutValues(ERASED, {SHARD_ITSELF: erased} if erased else {}),
            PutValues(MERGED, {SHARD_ITSELF: merged} if merged else {}),
            DeleteFields(MERGED, {SHARD_ITSELF: undone} if undone else {}),
            Drop(TOP, [*changes.forgotten]),
            SortedSetUnmark(DIRTY, [user for user, left in changes.forgotten.items() if not left]),
            SortedSetMark(DIRTY, [user for user, left in changes.forgotten.items() if left]),
        ]
