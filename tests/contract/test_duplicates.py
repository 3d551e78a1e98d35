"""What stream and rebuild take for a duplicate: the same within the dedupe window."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from recsys.keys import Partition, Shard
from recsys.online_store.memory import MemoryStore
from stream.engagement.fold import decode_records, fold
from stream.rebuild.fold_log import BulkFold
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeRecord, event

GROUP = "g"
SHARD = Shard(0)
WINDOW_MS = RULES.dedupe_window_ms
Figures = dict[str, int]
Reader = Callable[[Sequence[FakeRecord]], Awaitable[Figures]]


async def stream(records: Sequence[FakeRecord]) -> Figures:
    store = MemoryStore()
    for record in records:
        batch = decode_records([record], Partition(0), RULES)
        state = await store.read_shard(SHARD, GROUP, batch.reads(RULES))
        await store.commit(SHARD, GROUP, state.fence, record.offset, fold(batch, state, RULES))
    return dict(await store.counts(SHARD))


async def rebuild(records: Sequence[FakeRecord]) -> Figures:
    bulk = BulkFold(RULES, past={})
    await bulk.add([(Partition(0), record) for record in records])
    return dict(await bulk.memory.counts(SHARD))


READERS = pytest.mark.parametrize("read", [stream, rebuild])


@READERS
async def test_the_first_of_a_learners_event_id_counts_whatever_the_repeat_says(read: Reader) -> None:
    records = [
        event(0, id="e1", kind="view"),
        event(1, id="e1", kind="enroll", course="other", arrival=ARRIVAL + 1),
        event(2, user="v", id="e1", arrival=ARRIVAL + 2),  # another learner's e1
        event(3, id="e2", arrival=ARRIVAL + 3),
    ]
    assert await read(records) == {"accepted": 3, "duplicate": 1}


@READERS
@pytest.mark.parametrize("later_ms", [1, HOUR_MS, WINDOW_MS])
async def test_a_repeat_within_the_window_counts_for_nobody(read: Reader, later_ms: int) -> None:
    records = [
        event(0, id="e1"),
        event(1, user="v", arrival=ARRIVAL + 1),
        event(2, id="e1", arrival=ARRIVAL + later_ms),
    ]
    assert await read(sorted(records, key=lambda record: record.timestamp)) == {"accepted": 2, "duplicate": 1}
