"""Course activity in a shard is the sum over its learners' records, whatever joined them and took them apart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.course_sums.activity import HALF_LIVES, POPULARITY_DAYS, activity, touched, unpacked
from recsys.engagement import EngagementWeights
from recsys.events import Interaction
from recsys.keys import ENGAGEMENT, TERMS, TREND, Partition, Shard
from recsys.online_store.memory import MemoryStore
from recsys.record import RecordRules, record_of, unpack
from recsys.vocabulary import DEFAULT_WEIGHTS
from stream.engagement.fold import FoldRules, decode_records, fold, produced
from stream.engagement.projections.course_sums import BLOCKS
from stream.engagement.steps import read_state
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeRecord, event

GROUP, SHARD, NOW = "g", Shard(0), ARRIVAL + 5 * HOUR_MS
DAY_MS = 24 * HOUR_MS
USERS, COURSES = ("a", "b", "c"), ("c1", "c2", "c3", "c4")
VALUES = {"progress": (0.1, 0.3, 0.6, 0.95), "rate": (1.0, 3.0, 4.0, 5.0)}
KINDS = (
    "view",
    "click",
    "play",
    "enroll",
    "unenroll",
    "bookmark",
    "unbookmark",
    "dismiss",
    "rate",
    "unrate",
    "progress",
)
FEW_COURSES = replace(RULES, max_courses=2)
ODD_WEIGHTS = replace(
    RULES,
    records=RecordRules(weights=EngagementWeights({**DEFAULT_WEIGHTS, "view": -1.0, "click": 0.0, "dismiss": 1.0})),
)


@st.composite
def acts(draw: st.DrawFn) -> dict[str, Any]:
    user, at = draw(st.sampled_from(USERS)), ARRIVAL - draw(st.integers(0, 80)) * 11 * HOUR_MS
    kind = draw(st.sampled_from([*KINDS, *KINDS, "erase", "merge"]))
    if kind == "erase":
        return {"user": user, "kind": kind, "course": "", "at": at}
    if kind == "merge":
        into = draw(st.sampled_from([each for each in USERS if each != user]))
        return {"user": user, "kind": kind, "course": "", "at": at, "into": into}
    value = {"value": draw(st.sampled_from(VALUES[kind]))} if kind in VALUES else {}
    return {"user": user, "kind": kind, "course": draw(st.sampled_from(COURSES)), "at": at, **value}


async def folded(log: Sequence[FakeRecord], rules: FoldRules, size: int) -> MemoryStore:
    """The log in chunks, what merges hand on in place."""
    store, waiting, offset = MemoryStore(), [*log], 0
    while waiting:
        chunk, waiting = waiting[:size], waiting[size:]
        batch = decode_records(chunk, Partition(0), rules)
        assert not batch.refused
        state = await read_state(store, SHARD, GROUP, batch, rules)
        assert state is not None
        effects = fold(batch, state, rules)
        assert await store.commit(SHARD, GROUP, state.fence, offset, effects)
        handed_on = [each.record for each in produced(effects.handed_on, rules)]
        waiting = [FakeRecord(0, each.value, each.key, ARRIVAL, each.headers) for each in handed_on] + waiting
        offset += 1
    return store


def over_records(store: MemoryStore, rules: RecordRules) -> dict[str, list[float]]:
    """Course → its sums as of `NOW`, one contribution after the other, of courses that have any."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(HALF_LIVES))
    for records in store.contents(SHARD).values[ENGAGEMENT].values():
        for course, value in records.items():
            times = sorted(at_ms for at_ms, _ in rules.liked(unpack(value)))
            for place, at_ms in enumerate(times):
                for column, days in enumerate(HALF_LIVES):
                    if column < len(POPULARITY_DAYS) or not place:
                        sums[course][column] += 2.0 ** (-(NOW - at_ms) / DAY_MS / days)
    return sums


@pytest.mark.parametrize("rules", [RULES, FEW_COURSES, ODD_WEIGHTS], ids=["plain", "evicting", "odd weights"])
@given(story=st.lists(acts(), min_size=1, max_size=60), size=st.sampled_from([1, 7, 100]))
def test_it_is_the_sum_over_the_records(rules: FoldRules, story: list[dict[str, Any]], size: int) -> None:
    log = [event(n, **act) for n, act in enumerate(story)]
    store = asyncio.run(folded(log, rules, size))
    stored = asyncio.run(store.activity(SHARD))
    expected = over_records(store, rules.records)
    assert stored.keys() == expected.keys()
    vectors = unpacked([*stored.values()])
    assert touched(vectors).all()
    found = activity(vectors, NOW)
    received = np.concatenate([found.popularity, found.first_touches]).T
    for course, sums in zip(stored, received, strict=True):
        np.testing.assert_allclose(sums, expected[course], rtol=1e-9, atol=1e-12)


async def test_a_repeat_moves_nothing() -> None:
    log = [event(n, f"u{n % 5}", f"c{n % 3}", at=ARRIVAL - n * HOUR_MS) for n in range(40)]
    once, twice = await folded(log, RULES, 9), await folded([*log, *log], RULES, 9)
    assert await once.activity(SHARD) == await twice.activity(SHARD)


async def test_blocks_wait_until_there_are_enough_and_are_settled_together() -> None:
    log = [event(n, f"u{n}", f"c{n % 5}", at=ARRIVAL - n * HOUR_MS) for n in range(3 * BLOCKS)]
    events = decode_records(log, Partition(0), RULES).events
    records = [record_of(each, RULES.records) for each in events if isinstance(each, Interaction)]
    waiting = []
    for many in (1, BLOCKS, BLOCKS + 1, 2 * BLOCKS, 2 * BLOCKS + 1, 3 * BLOCKS):
        store = await folded(log[:many], RULES, 1)
        values = store.contents(SHARD).values
        waiting.append(len(values[TERMS][""]))
        assert bool(values[TREND].get("")) == (many > BLOCKS)
        assert touched(unpacked([*(await store.activity(SHARD)).values()])).sum() == min(many, 5)
        expected = sum(RULES.records.trend(record) for record in records[:many])
        assert sum((await store.trend(SHARD, 9)).sums.values()) == pytest.approx(expected)
    assert waiting == [1, BLOCKS, 1, BLOCKS, 1, BLOCKS]


async def test_a_fold_that_does_not_win_the_fence_settles_nothing() -> None:
    log = [event(n, f"u{n}", at=ARRIVAL - n * HOUR_MS) for n in range(BLOCKS + 1)]
    store = await folded(log[:BLOCKS], RULES, 1)
    before = deepcopy(store.contents(SHARD).values)
    batch = decode_records(log[BLOCKS:], Partition(0), RULES)
    state = await read_state(store, SHARD, GROUP, batch, RULES)
    assert state is not None
    assert TERMS in state.whole
    assert not await store.commit(SHARD, GROUP, BLOCKS - 2, BLOCKS, fold(batch, state, RULES))
    assert store.contents(SHARD).values[TERMS] == before[TERMS]
    assert not store.contents(SHARD).values[TREND]
    assert await store.commit(SHARD, GROUP, BLOCKS - 1, BLOCKS, fold(batch, state, RULES))
    assert len(store.contents(SHARD).values[TERMS][""]) == 1
