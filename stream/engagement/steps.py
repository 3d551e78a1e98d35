"""What of a chunk goes into the next commit, and the state that it needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from recsys.kafka.records import Record
from recsys.keys import Shard
from recsys.online_store import ShardState, ShardStore
from stream.engagement.fold import Batch, FoldRules, Refused


def after(records: Sequence[Record], fence: int | None) -> Sequence[Record]:
    """The records after the fence."""
    if fence is None or records[0].offset > fence:
        return records
    return records[bisect_right(records, fence, key=lambda record: record.offset) :]


def refusal(refused: Refused) -> Batch:
    """A batch of nothing but one refused record."""
    return Batch(refused=[refused])


async def read_state(store: ShardStore, shard: Shard, group: str, batch: Batch, rules: FoldRules) -> ShardState | None:
    """The state that the fold of a batch needs, in one round trip unless learners are read as a whole.

    Returns:
        The state with the fence it was read under; None if the fence moved between two reads.
    """
    state = await store.read_shard(shard, group, batch.reads(rules))
    while more := batch.more_reads(state, rules):
        rest = await store.read_shard(shard, group, more)
        if rest.fence != state.fence:
            return None
        state.add(rest)
    return state
