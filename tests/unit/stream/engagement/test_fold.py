"""The fold is a pure function of the records and the state, whatever the chunk boundaries and the clock."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.course_sums.activity import activity, unpacked
from recsys.errors import RefusalReason
from recsys.keys import DIRTY, TERMS, TREND, Partition, Shard, Topology, partition_of
from recsys.online_store import Effects
from recsys.online_store.memory import MemoryStore
from recsys.record import FOREVER_MS, RecordRules, unpack
from stream.engagement.fold import DECODED_AT_ONCE, FoldRules, decode_records, fold
from stream.engagement.steps import read_state
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeRecord, event

GROUP = "g"
SHARD = Shard(0)


async def apply(store: MemoryStore, records: list[FakeRecord], rules: FoldRules = RULES) -> Effects:
    batch = decode_records(records, Partition(0), rules)
    state = await read_state(store, SHARD, GROUP, batch, rules)
    assert state is not None
    effects = fold(batch, state, rules)
    assert await store.commit(SHARD, GROUP, state.fence, records[-1].offset, effects)
    return effects


async def test_events_add_up_to_the_decayed_sum() -> None:
    store = MemoryStore()
    await apply(store, [event(0, kind="view"), event(1, kind="rate", value=5, at=ARRIVAL - 40 * 24 * HOUR_MS)])
    await apply(store, [event(2, kind="dismiss", at=ARRIVAL - 1000)])
    (state,) = await store.user_states(SHARD, ["u"])
    midnight = ARRIVAL // (24 * HOUR_MS) * 24 * HOUR_MS
    days = (ARRIVAL - midnight) / (24 * HOUR_MS)
    expected = 1.0 * 2 ** (-days / 30) + 6.0 * 2 ** (-40 / 30) - 5.0 * 2 ** (-1 / 2_592_000)
    assert RULES.records.decay.score(state.engagement["c"], ARRIVAL) == pytest.approx(expected, rel=1e-9)
    assert state.done == {"c": FOREVER_MS}


@pytest.mark.parametrize(
    ("threshold", "done"), [(0.9, {"watched", "nearly"}), (1.0, {"watched"}), (0.5, {"watched", "nearly", "half"})]
)
async def test_a_course_watched_to_the_end_is_done(threshold: float, done: set[str]) -> None:
    rules = dataclasses.replace(RULES, records=RecordRules(done_progress=threshold))
    values = {"watched": 1.0, "nearly": 0.9, "half": 0.5, "begun": 0.0}
    store = MemoryStore()
    watched = [event(n, course=name, kind="progress", value=value) for n, (name, value) in enumerate(values.items())]
    await apply(store, watched, rules)
    (state,) = await store.user_states(SHARD, ["u"])
    assert set(state.done) == done


@pytest.mark.parametrize("split", [(3,), (1, 1, 1), (1, 2)])
async def test_a_repeat_counts_once_within_and_across_chunks_whatever_its_id(split: tuple[int, ...]) -> None:
    store, records = MemoryStore(), [event(n, id=f"id-{n}", at=ARRIVAL - 5) for n in range(3)]
    counts: defaultdict[str, int] = defaultdict(int)
    for size in split:
        for name, value in (await apply(store, records[:size])).counts.items():
            counts[name] += value
        records = records[size:]
    assert counts == {"accepted": 1, "unchanged": 2}


@pytest.mark.parametrize("records", [1, DECODED_AT_ONCE, 3 * DECODED_AT_ONCE + 7])
def test_records_are_decoded_the_same_whatever_lies_beside_them(records: int) -> None:
    rules, here = dataclasses.replace(RULES, topology=Topology(8)), partition_of("u", 8)
    usual = [event(number) for number in range(records)]
    nested, elsewhere, blank = event(1, extra={"a": [1]}), event(2, "user1"), event(3, id=" ")
    headed = dataclasses.replace(event(4), headers=(("ce_id", b"e"),))
    for unusual in ([], [nested], [elsewhere, headed], [blank, FakeRecord(5, None), FakeRecord(6, b"{}")]):
        mixed = [*usual[: records // 2], *unusual, *usual[records // 2 :]]
        batch = decode_records(mixed, here, rules)
        alone = [decode_records([record], here, rules) for record in mixed]
        assert batch.events == [one for each in alone for one in each.events]
        assert batch.sources == [one for each in alone for one in each.sources]
        assert batch.misrouted == [one for each in alone for one in each.misrouted]
        refused = [one for each in alone for one in each.refused]
        assert [(one.record, one.error.reason) for one in batch.refused] == [
            (one.record, one.error.reason) for one in refused
        ]
        assert len(batch.events) == len(mixed) - len(batch.refused) - len(batch.misrouted)


async def test_a_click_that_has_courses_evicted_takes_them_from_those_that_are_done() -> None:
    store, rules = MemoryStore(), dataclasses.replace(RULES, max_courses=4)
    await apply(store, [event(n, course=f"c{n}", kind="enroll") for n in range(5)], rules)
    await apply(store, [event(5, course="c5")], rules)
    (state,) = await store.user_states(SHARD, ["u"])
    assert len(state.engagement) == 4
    assert state.done.keys() == state.engagement.keys()


async def test_what_an_opposite_takes_back_leaves_no_trace_in_done_and_trending() -> None:
    store = MemoryStore()
    await apply(store, [event(0, kind="enroll"), event(1, kind="dismiss", course="d")])
    (state,) = await store.user_states(SHARD, ["u"])
    assert state.done == {"c": FOREVER_MS, "d": FOREVER_MS}
    await apply(store, [event(2, kind="unenroll", at=ARRIVAL - 5), event(3, kind="undismiss", course="d")])
    (state,) = await store.user_states(SHARD, ["u"])
    assert state.done == {"c": ARRIVAL - 5 + RULES.records.give_back_ms}
    assert (await store.trend(SHARD, 9)).sums == {}


async def test_every_record_is_counted_under_one_outcome() -> None:
    records = [
        event(0),
        event(1, at=ARRIVAL - 1000),
        FakeRecord(2, b"junk"),
        FakeRecord(3, None),
        event(4, kind="nonsense"),
    ]
    effects = await apply(MemoryStore(), records)
    assert effects.counts == {"accepted": 1, "unchanged": 1, "refused": 3}


def test_a_record_of_another_partitions_learner_is_sent_home() -> None:
    rules = dataclasses.replace(RULES, topology=Topology(8))
    targets = {}
    for n in range(100):
        batch = decode_records([event(0, f"user{n}")], Partition(3), rules)
        targets[n] = batch.misrouted[0].partition if batch.misrouted else 3
    assert set(targets.values()) == set(range(8))


def test_a_misrouted_record_too_large_to_be_sent_is_refused_and_where_it_belongs_it_counts() -> None:
    rules = dataclasses.replace(RULES, topology=Topology(8))
    target = partition_of("u", 8)
    large = dataclasses.replace(event(0, "u"), headers=[("trace", b"x" * 1_000_000)])
    assert len(decode_records([large], target, rules).events) == 1
    (refused,) = decode_records([large], Partition((target + 1) % 8), rules).refused
    assert refused.error.reason is RefusalReason.TOO_LARGE


async def test_only_positive_weight_trends() -> None:
    store = MemoryStore()
    await apply(store, [event(0), event(1, course="d", kind="dismiss")])
    assert set((await store.trend(SHARD, 9)).sums) == {"c"}


async def test_a_chunk_of_repeats_makes_nobody_dirty() -> None:
    store = MemoryStore()
    await apply(store, [event(0)])
    before = deepcopy(store.contents(SHARD))
    effects = await apply(store, [event(1, at=ARRIVAL - 1000)])
    assert (effects.users, effects.counts) == (0, {"unchanged": 1})
    after = store.contents(SHARD)
    assert after.marks == {DIRTY: {"u": 0}}
    assert (after.values, after.marks) == (before.values, before.marks)


kinds = st.sampled_from(["view", "click", "enroll", "unenroll", "dismiss", "complete", "uncomplete"])
stories = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), kinds, st.integers(0, 12), st.integers(0, 10**10)),
    min_size=1,
    max_size=40,
)


@given(stories, st.integers(1, 40), st.randoms(use_true_random=False))
async def test_chunk_boundaries_do_not_change_the_state(
    story: list[tuple[str, str, str, int, int]], size: int, rng: random.Random
) -> None:
    records = [
        event(offset, user, course, kind, id=f"e{number}", at=ARRIVAL - age)
        for offset, (user, course, kind, number, age) in enumerate(story)
    ]
    states, activities, trends = [], [], []
    for boundary in (size, rng.randint(1, 40)):
        store = MemoryStore()
        for start in range(0, len(records), boundary):
            await apply(store, records[start : start + boundary])
        contents = store.contents(SHARD)
        marked = set(contents.marks.pop(DIRTY))  # by the fence of the commit, which chunk boundaries do move
        activities.append(await store.activity(SHARD))
        trends.append((await store.trend(SHARD, 99)).sums)
        for sums in (TERMS, TREND):  # how many blocks wait depends on the chunks, too
            contents.values.pop(sums, None)
        states.append((contents, marked, await store.fence(SHARD, GROUP)))
    assert states[0] == states[1]
    assert trends[0] == pytest.approx(trends[1], rel=1e-12)
    one, other = activities  # added up in another order, rounded otherwise
    assert one.keys() == other.keys()
    first, second = (activity(unpacked([held[course] for course in one]), ARRIVAL) for held in activities)
    np.testing.assert_allclose(first.popularity, second.popularity, rtol=1e-9, atol=1e-12)


control = st.tuples(st.sampled_from("uvw"), st.just(""), st.just("erase"), st.integers(0, 12), st.integers(0, 10**10))


@given(st.lists(stories.map(lambda story: story[0]) | control, max_size=40), st.integers(1, 40))
async def test_trending_is_the_sum_over_all_records_whatever_came_and_went(
    story: list[tuple[str, str, str, int, int]], size: int
) -> None:
    records = [
        event(offset, user, course, kind, at=ARRIVAL - age) for offset, (user, course, kind, _, age) in enumerate(story)
    ]
    store = MemoryStore()
    rules = dataclasses.replace(RULES, max_courses=2)
    for start in range(0, len(records), size):
        await apply(store, records[start : start + size], rules)
    sums: defaultdict[str, float] = defaultdict(float)
    users = ("u", "v", "w")
    for user, state in zip(users, await store.user_states(SHARD, users), strict=True):
        held = {course: unpack(packed) for course, packed in (await store.records(SHARD, user)).items()}
        for course, record in held.items():
            sums[course] += RULES.records.trend(record)
        ends = {course: RULES.records.done_until(record) for course, record in held.items()}
        assert state.done == {course: until for course, until in ends.items() if until is not None}
    shown = (await store.trend(SHARD, 99)).sums
    assert shown == pytest.approx({course: total for course, total in sums.items() if total}, rel=1e-9)
