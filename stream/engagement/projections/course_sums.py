"""Sums over a course: this shard's part of trending, and of the activity that the ranker's course features are made of.

Both are in one value, because they change together. What a batch changes them by is written as a block, and the blocks
of `BLOCKS` batches are settled in one commit with that of the next (`recsys.course_sums.blocks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.course_sums.blocks import Block, courses_of, in_order, settled
from recsys.errors import UnreadableState
from recsys.keys import TERMS, TREND
from recsys.online_store import ShardState
from recsys.online_store.operations import (
    SHARD_ITSELF,
    DeleteFields,
    Operation,
    PutValues,
    Read,
    ReadValues,
    ReadWhole,
)
from stream.engagement.projections.activity import block_of
from stream.engagement.projections.events import Events

BLOCKS = 32
"""Blocks that wait before they are settled. A settlement reads and writes every course in them once: on Online Retail,
in chunks of 2,000 events, that is every nineteenth of its terms."""

NO_BLOCK = ""
"""A field that is never there: so the store says how many others are."""


class CourseSums:
    """Course → compensated sum of trending (`recsys.record.sums`) and packed activity (`recsys.course_sums.activity`).

    Each change of a record takes its part of before out and puts that of now in, so what an event, an opposite, an
    erasure, a merge or an eviction does is exact, and a course that no record has a part in is not there. Courses that
    no catalogue knows are summed up as well, so that they trend once one does. There are as many as records name.
    """

    def reads(self, events: Events) -> Sequence[Read]:
        """How many blocks wait."""
        return [ReadValues(TERMS, {SHARD_ITSELF: [NO_BLOCK]})] if events.events else []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Notes what the records changed by, under the offset of the fence, and settles the blocks that were read."""
        block = block_of(events.changes.pairs, events.rules)
        name = str(-1 if state.fence is None else state.fence)
        noted = [PutValues(TERMS, {SHARD_ITSELF: {name: block}})] if block is not None else []
        return [*_settlement(state), *noted]


def more_reads_of_sums(state: ShardState) -> list[Read]:
    """The blocks that wait, if they are to be settled, and then the values of their courses."""
    blocks = state.whole.get(TERMS)
    if blocks is None:
        waiting = state.sizes.get(TERMS, {}).get(SHARD_ITSELF, 0)
        return [ReadWhole(TERMS, [SHARD_ITSELF])] if waiting >= BLOCKS else []
    return [] if TREND in state.values else [ReadValues(TREND, {SHARD_ITSELF: _blocks(state)[1]})]


def _settlement(state: ShardState) -> list[Operation]:
    if TERMS not in state.whole:
        return []
    try:
        after = settled(state.values[TREND][SHARD_ITSELF], *_blocks(state))
    except ValueError:
        raise UnreadableState(state.key(TREND), "holds a value that is none of a course's sums") from None
    written = {course: value for course, value in after.items() if value is not None}
    emptied = [course for course, value in after.items() if value is None]
    return [
        DeleteFields(TREND, {SHARD_ITSELF: emptied} if emptied else {}),
        PutValues(TREND, {SHARD_ITSELF: written} if written else {}),
        DeleteFields(TERMS, {SHARD_ITSELF: [*state.whole[TERMS][SHARD_ITSELF]]}),
    ]


def _blocks(state: ShardState) -> tuple[list[Block], dict[str, int]]:
    """The blocks that were read, and the numbers of the courses that they name."""
    if TERMS not in state.derived:
        stored: Mapping[str, bytes] = state.whole[TERMS][SHARD_ITSELF]
        try:
            blocks = in_order(stored)
        except ValueError:
            raise UnreadableState(state.key(TERMS), "holds a value that is no block of terms") from None
        state.derived[TERMS] = blocks, courses_of(blocks)
    found: tuple[list[Block], dict[str, int]] = state.derived[TERMS]
    return found
