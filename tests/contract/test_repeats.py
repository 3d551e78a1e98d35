"""Repeats change nothing, whatever their ids, order and age: in the live fold and in a rebuild alike."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from recsys.course_sums.activity import unpacked
from recsys.course_sums.blocks import in_order, with_blocks
from recsys.keys import COUNTS, DIRTY, TERMS, TREND, Partition, Shard
from recsys.online_store.contents import ShardContents
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import SHARD_ITSELF
from recsys.record.sums import SUM_BYTES
from stream.engagement.fold import decode_records, fold
from stream.engagement.steps import read_state
from stream.rebuild.fold_log import BulkFold
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeRecord, event

GROUP = "g"
SHARD = Shard(0)
YEAR_MS = 365 * 24 * HOUR_MS
Reader = Callable[[Sequence[FakeRecord]], Awaitable[ShardContents]]


async def stream(records: Sequence[FakeRecord]) -> ShardContents:
    store = MemoryStore()
    for record in records:
        batch = decode_records([record], Partition(0), RULES)
        state = await read_state(store, SHARD, GROUP, batch, RULES)
        assert state is not None
        await store.commit(SHARD, GROUP, state.fence, record.offset, fold(batch, state, RULES))
    return store.contents(SHARD)


async def rebuild(records: Sequence[FakeRecord]) -> ShardContents:
    bulk = BulkFold(RULES, past={})
    await bulk.add([(Partition(0), record) for record in records])
    return bulk.memory.contents(SHARD)


def _values(contents: ShardContents) -> Any:
    """Hashes of bytes; activity, which is rounded otherwise in another order, to nine digits."""
    blocks = in_order(contents.values.pop(TERMS)[SHARD_ITSELF])
    assert TREND not in contents.values  # too few blocks to be settled
    sums = with_blocks({}, blocks)
    activity = unpacked([value[SUM_BYTES:] for value in sums.values()])
    nine_digits = [[f"{number:.9g}" for number in vector] for vector in activity.tolist()]
    trending = [value[:SUM_BYTES] for value in sums.values()]
    return contents.values, dict(zip(sums, zip(trending, nine_digits, strict=True), strict=True))


READERS = pytest.mark.parametrize("read", [stream, rebuild])
STORY: list[dict[str, Any]] = [
    {"kind": "view"},
    {"kind": "click", "course": "d"},
    {"kind": "enroll"},
    {"kind": "progress", "value": 0.5},
    {"kind": "rate", "value": 4},
    {"kind": "enroll", "user": "v"},
    {"kind": "unenroll"},
]


def story(*, offset: int = 0, arrival: int = ARRIVAL, ids: str = "e") -> list[FakeRecord]:
    return [
        event(offset + n, id=f"{ids}{n}", at=ARRIVAL - HOUR_MS + n, arrival=arrival, **each)
        for n, each in enumerate(STORY)
    ]


@READERS
@pytest.mark.parametrize("later_ms", [1, HOUR_MS, 72 * HOUR_MS, YEAR_MS])
@pytest.mark.parametrize("ids", ["e", "others-"])
async def test_a_log_replayed_at_any_time_under_any_ids_changes_no_byte(read: Reader, later_ms: int, ids: str) -> None:
    once = await read(story())
    again = story(offset=len(STORY), arrival=ARRIVAL + later_ms, ids=ids)
    random.Random(later_ms).shuffle(again)
    twice = await read([*story(), *again])
    assert twice.values == once.values
    assert set(twice.marks[DIRTY]) == set(once.marks[DIRTY])
    assert twice.counters[COUNTS] == {"accepted": len(STORY), "unchanged": len(STORY)}


@READERS
async def test_any_order_gives_the_same_records(read: Reader) -> None:
    shuffled = story()
    random.Random(5).shuffle(shuffled)
    assert _values(await read(shuffled)) == _values(await read(story()))


@READERS
async def test_an_id_used_for_two_events_names_two_events(read: Reader) -> None:
    """An id is for dead letters and logs: it decides nothing."""
    contents = await read([event(0, id="e1"), event(1, id="e1", course="other"), event(2, user="v", id="e1")])
    assert contents.counters[COUNTS] == {"accepted": 3}
