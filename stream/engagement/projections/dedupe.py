"""Dedupe: which events are repeats, and the ids that say so.

Ids are remembered in buckets of the log's own time (a record's arrival, divided by the window). A batch looks at its
bucket and the one before it. Buckets are dropped by their number when the log has passed them, and have no time to
live: a worker that was away for days reads the log on where it stopped, and still knows what came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from recsys.errors import UnreadableState
from recsys.keys import DEDUPE, EVENT_IDS
from recsys.online_store import ShardState
from recsys.online_store.operations import (
    SHARD_ITSELF,
    DigestAdd,
    Drop,
    HashText,
    Operation,
    Read,
    ReadKnown,
    ReadText,
)
from stream.engagement.projections.events import Events

NEWEST = "newest"
"""Field with the newest bucket that was written: it and the one before it are all that there are."""


class Dedupe:
    """Bucket → digests of the events that counted in it."""

    def reads(self, events: Events) -> Sequence[Read]:
        """Which digests are known, and which buckets there are."""
        looked_at = (str(events.bucket), str(events.bucket - 1))
        return [ReadKnown(EVENT_IDS, looked_at, events.digests), ReadText(DEDUPE, (SHARD_ITSELF,), NEWEST)]

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Remembers the events that count, and drops the buckets that the log has passed."""
        if not events.digests:
            return []
        bucket, newest = events.bucket, _newest(state)
        operations: list[Operation] = [DigestAdd(EVENT_IDS, str(bucket), events.digests)]
        if newest is None or bucket > newest:
            # Two buckets back without having been told: of a release that does not say which it wrote.
            there = {bucket - 2} if newest is None else {bucket - 2, newest, newest - 1}
            passed = [str(each) for each in sorted(there) if each < bucket - 1]
            operations += [Drop(EVENT_IDS, passed), HashText(DEDUPE, (NEWEST,), {SHARD_ITSELF: (str(bucket),)})]
        return operations


def _newest(state: ShardState) -> int | None:
    stored = state.texts[DEDUPE][SHARD_ITSELF]
    try:
        return int(stored) if stored else None
    except ValueError:
        raise UnreadableState(state.key(DEDUPE), "holds no number of a bucket") from None


def repeats(state: ShardState) -> AbstractSet[bytes]:
    """The digests that counted before."""
    return state.known[EVENT_IDS]
