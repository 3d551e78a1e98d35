"""Erasing and merging inside the fold: what is left, what goes where, and what each record counts as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from recsys.errors import ServiceUnavailable
from recsys.events import Interaction
from recsys.handed_on import HandedOn, decode_handed_on
from recsys.keys import BOT, DIRTY, ENGAGEMENT, ERASED, MERGED, Partition, Shard, Topology, partition_of
from recsys.online_store import CachedTop
from recsys.online_store.memory import MemoryStore
from recsys.record import FOREVER_MS, RecordRules, record_of, unpack
from stream.engagement.commit import ShardWriter, WriterRules
from stream.engagement.fold import COURSES_HANDED_ON_AT_ONCE, FoldRules, produced
from stream.engagement.metrics import PartitionMetrics
from stream.engagement.record_control import LONGEST_PATH
from tests.doubles.stream import ARRIVAL, FakeLog, FakeOutputs, FakeRecord, chunk, event

GROUP, PARTITIONS = "g", 3
DAY_MS = 86_400_000
OLD, NEW = ARRIVAL - 10 * DAY_MS, ARRIVAL - DAY_MS
RULES = FoldRules(RecordRules(), Topology(PARTITIONS))


@dataclass
class World:
    """Three partitions with a writer each; what one sends to another arrives when it is delivered."""

    store: MemoryStore = field(default_factory=MemoryStore)
    ends: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outputs = {partition: FakeOutputs() for partition in range(PARTITIONS)}
        self.writers = {partition: self._writer(Partition(partition)) for partition in range(PARTITIONS)}
        self.delivered = dict.fromkeys(range(PARTITIONS), 0)

    def _writer(self, partition: Partition) -> ShardWriter:
        return ShardWriter(
            partition,
            GROUP,
            store=self.store,
            outputs=self.outputs[partition],
            rules=WriterRules(RULES, retry_s=0.0),
            kafka=FakeLog(),
            metrics=PartitionMetrics(partition),
            clock=lambda: 0.0,
            now_ms=lambda: 5,
        )

    async def send(self, user: str, kind: str, course: str = "", at: int = OLD, **fields: Any) -> dict[str, int]:
        """Applies one event of a learner; returns what it counted as."""
        made = event(0, user, course, kind, at=at, **fields)
        return await self.put(partition_of(user, PARTITIONS), made.value, ())

    async def put(self, partition: int, value: bytes | None, headers: Any) -> dict[str, int]:
        offset = self.ends.get(partition, 0)
        record = FakeRecord(offset, value, b"k", ARRIVAL, headers)
        applied = await self.writers[partition].apply(chunk(record, partition=partition, begun_at=offset))
        self.ends[partition] = offset + 1
        return dict(applied.counts)

    async def deliver(self, *, twice: bool = False, most: int = 200) -> int:
        """Delivers what partitions sent to each other until nothing is under way; returns how many records."""
        records = 0
        while any(len(self.outputs[p].misrouted) > seen for p, seen in self.delivered.items()):
            for partition, outputs in self.outputs.items():
                for sent in outputs.misrouted[self.delivered[partition] :]:
                    self.delivered[partition] += 1
                    records += 1
                    assert records < most, "they go round and round"
                    for _ in range(1 + twice):
                        await self.put(sent.partition, sent.record.value, sent.record.headers)
        return records

    def contents(self, user: str) -> Any:
        return self.store.contents(RULES.topology.shard_of(user))

    async def records(self, user: str) -> dict[str, Any]:
        records = await self.store.records(RULES.topology.shard_of(user), user)
        return {course: unpack(packed) for course, packed in records.items()}

    async def trend(self) -> set[str]:
        return {course for n in range(PARTITIONS) for course in (await self.store.trend(Shard(n), 99)).sums}


@pytest.fixture
def world() -> World:
    return World()


A, B, C = (next(f"{name}{n}" for n in range(99) if partition_of(f"{name}{n}", PARTITIONS) == place) for name, place in
           (("a", 0), ("b", 1), ("c", 2)))  # fmt: skip


async def test_an_erased_learner_leaves_nothing_but_when_that_was(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(A, "dismiss", "d")
    shard = RULES.topology.shard_of(A)
    await world.store.write_tops(shard, [(CachedTop(A, "v1", 5, ["x"], [1.0]), None)])
    assert await world.send(A, "erase", at=NEW) == {"accepted": 1}
    contents = world.contents(A)
    assert A not in contents.values[ENGAGEMENT]
    listed = await world.store.listed(shard, "g", A)
    assert (listed.top, listed.done) == (None, {})
    assert (contents.texts[BOT], contents.marks[DIRTY]) == ({}, {})
    assert contents.values[ERASED] == {"": {A: b"%d" % NEW}}
    assert await world.trend() == set()
    assert [user async for user, _ in world.store.engagement(shard)] == []


async def test_what_was_before_an_erase_is_nothing_and_what_comes_after_it_counts(world: World) -> None:
    await world.send(A, "erase", at=NEW)
    assert await world.send(A, "enroll", "c") == {"unchanged": 1}
    assert world.contents(A).texts[BOT] == {}, "the bot rules do not see it"
    assert await world.send(A, "erase", at=NEW - 1) == {"unchanged": 1}
    assert await world.send(A, "erase", at=NEW) == {"unchanged": 1}
    assert await world.send(A, "enroll", "c", at=NEW + 1) == {"accepted": 1}
    assert list(await world.records(A)) == ["c"]
    assert world.contents(A).texts[BOT].keys() == {A}


@pytest.mark.parametrize("erased_first", [False, True])
async def test_an_erase_keeps_what_is_newer_in_either_order(world: World, erased_first: bool) -> None:
    async def live() -> None:
        await world.send(A, "click", "old")
        await world.send(A, "enroll", "both")
        await world.send(A, "dismiss", "both", at=NEW + 5)
        await world.send(A, "click", "new", at=NEW + DAY_MS)

    if not erased_first:
        await live()
    await world.send(A, "erase", at=NEW)
    if erased_first:
        await live()
    records = await world.records(A)
    assert {course: list(record.states) for course, record in records.items()} == {"both": ["dismiss"], "new": []}
    (state,) = await world.store.user_states(RULES.topology.shard_of(A), [A])
    assert state.done == {"both": FOREVER_MS}
    assert await world.trend() == {"new"}
    assert A in world.contents(A).marks[DIRTY], "a list of what is left is due"


async def test_the_bot_rules_begin_afresh_after_an_erase(world: World) -> None:
    for _ in range(3):
        await world.send(A, "view", "c", user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    assert world.contents(A).texts[BOT][A]["state"] == "bot"
    await world.send(A, "erase", at=NEW)
    await world.send(A, "view", "c", at=NEW + DAY_MS)
    assert world.contents(A).texts[BOT][A].keys() == {"features"}


async def test_a_merge_hands_the_records_on_and_later_events_follow(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(A, "click", "d")
    await world.send(B, "click", "d", at=OLD - 5 * DAY_MS)
    held = await world.records(A)
    assert await world.send(A, "merge", at=NEW, into=B) == {"accepted": 1}
    assert await world.records(A) == {}
    assert await world.send(A, "complete", "e") == {"rerouted": 1}
    assert await world.deliver() == 2
    records = await world.records(B)
    assert (records["c"], list(records["e"].states), len(records["d"].flows)) == (held["c"], ["complete"], 2)
    contents = world.contents(A)
    assert contents.values[MERGED] == {"": {A: f"{NEW} {B}".encode()}}
    assert (contents.texts[BOT], contents.marks[DIRTY]) == ({}, {})
    assert contents.values["trend"].get("", {}) == {}, "their part of trending went with the records"
    assert await world.trend() == {"c", "d", "e"}


async def test_what_is_handed_on_twice_counts_once_and_a_merge_repeated_changes_nothing(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(A, "merge", at=NEW, into=B)
    await world.deliver(twice=True)
    before = (await world.records(B), await world.store.counts(RULES.topology.shard_of(B)))
    assert before[1] == {"accepted": 1, "unchanged": 1}
    for at in (NEW, NEW - 5):
        assert await world.send(A, "merge", at=at, into=B) == {"unchanged": 1}
    assert await world.deliver() == 0
    assert await world.records(B) == before[0]


async def test_a_merge_of_nobody_known_holds_for_what_comes_later(world: World) -> None:
    await world.send(A, "merge", into=B)
    assert await world.send(A, "enroll", "c") == {"rerouted": 1}
    await world.deliver()
    assert list(await world.records(B)) == ["c"]


async def test_the_later_of_two_merges_holds_from_then_on(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(A, "merge", at=NEW, into=B)
    assert await world.send(A, "merge", at=NEW + 1, into=C) == {"accepted": 1}
    await world.send(A, "enroll", "d")
    await world.deliver()
    assert (list(await world.records(B)), list(await world.records(C))) == (["c"], ["d"])


async def test_a_chain_is_followed_to_its_end(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(B, "enroll", "d")
    await world.send(B, "merge", into=C)
    await world.send(A, "merge", into=B)
    await world.send(A, "enroll", "e")
    await world.deliver()
    assert set(await world.records(C)) == {"c", "d", "e"}
    assert (await world.records(A), await world.records(B)) == ({}, {})


@pytest.mark.parametrize("delivered_between", [False, True])
@pytest.mark.parametrize("order", [(A, B, C), (C, A, B), (B, C, A)])
async def test_a_cycle_ends_at_the_least_id_in_whatever_order_it_was_closed(
    world: World, order: tuple[str, ...], delivered_between: bool
) -> None:
    following = {A: B, B: C, C: A}
    for user in order:
        await world.send(user, "enroll", f"of-{user}")
    for number, user in enumerate(order):
        await world.send(user, "merge", at=NEW + number, into=following[user])
        if delivered_between:
            await world.deliver()
    await world.deliver()
    for user in order:
        await world.send(user, "click", "later")
    await world.deliver()
    assert set(await world.records(A)) == {f"of-{A}", f"of-{B}", f"of-{C}", "later"}
    assert (await world.records(B), await world.records(C)) == ({}, {})


async def test_two_learners_merged_into_each_other_are_one(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(B, "enroll", "d")
    await world.send(A, "merge", into=B)
    await world.send(B, "merge", into=A)
    await world.deliver()
    assert (set(await world.records(A)), await world.records(B)) == ({"c", "d"}, {})
    assert world.contents(A).values[MERGED].get("", {}) == {}, "the merge of the one that keeps them is undone"


async def test_a_path_without_an_end_ends(world: World) -> None:
    await world.send(A, "merge", into=B)
    path = tuple(f"p{n}" for n in range(LONGEST_PATH))
    (sent,) = produced([HandedOn(A, path, {})], RULES)
    assert await world.put(sent.partition, sent.record.value, sent.record.headers) == {"unchanged": 1}
    assert world.contents(A).values[MERGED].get("", {}) == {}


async def test_erasing_a_merged_learner_erases_the_one_they_are(world: World) -> None:
    await world.send(B, "enroll", "d")
    await world.send(A, "merge", into=B)
    assert await world.send(A, "erase", at=NEW) == {"rerouted": 1}
    await world.deliver(twice=True)
    assert await world.records(B) == {}
    assert world.contents(B).values[ERASED] == {"": {B: b"%d" % NEW}}
    assert await world.store.counts(RULES.topology.shard_of(B)) == {"accepted": 2, "unchanged": 1}


async def test_an_erasure_before_the_merge_stays_with_whom_it_was_of(world: World) -> None:
    await world.send(A, "erase", at=NEW)
    await world.send(A, "merge", at=NEW, into=B)
    assert await world.send(A, "enroll", "c") == {"unchanged": 1}, "a log replayed after all that"
    assert await world.send(A, "enroll", "d", at=NEW + 5) == {"rerouted": 1}
    assert await world.send(B, "enroll", "c") == {"accepted": 1}
    await world.deliver()
    assert set(await world.records(B)) == {"c", "d"}


async def test_an_erasure_again_after_a_merge_takes_nothing_of_the_other_learner(world: World) -> None:
    await world.send(B, "enroll", "d")
    await world.send(A, "erase", at=NEW)
    await world.send(A, "merge", at=NEW, into=B)
    assert await world.send(A, "erase", at=NEW) == {"unchanged": 1}
    assert await world.send(A, "erase", at=NEW + 1) == {"rerouted": 1}
    assert await world.send(A, "erase", at=NEW + 1) == {"unchanged": 1}
    await world.deliver()
    assert world.contents(B).values[ERASED][""][B] == b"%d" % (NEW + 1)


async def test_what_an_erasure_on_the_way_took_does_not_come_back_through_a_merge(world: World) -> None:
    await world.send(A, "enroll", "c")
    await world.send(B, "erase", at=NEW)
    await world.send(A, "merge", at=NEW, into=B)
    await world.deliver()
    await world.send(B, "merge", at=NEW, into="carl")
    assert await world.send(A, "enroll", "c") == {"rerouted": 1}, "a log replayed after all that"
    assert await world.send(A, "enroll", "d", at=NEW + 5) == {"rerouted": 1}
    await world.deliver()
    assert set(await world.records("carl")) == {"d"}


async def test_what_is_handed_on_is_acknowledged_before_the_merge_is_passed(world: World) -> None:
    await world.send(A, "enroll", "c")
    partition = partition_of(A, PARTITIONS)
    world.outputs[partition].failures = 1
    with pytest.raises(ServiceUnavailable):
        await world.send(A, "merge", into=B)
    assert list(await world.records(A)) == ["c"]
    assert await world.send(A, "merge", into=B) == {"accepted": 1}
    (sent,) = world.outputs[partition].misrouted
    assert (sent.user_id, sent.partition) == (B, partition_of(B, PARTITIONS))
    assert decode_handed_on(sent.record.value).path == (A,)


async def test_a_batch_with_a_merge_in_it_is_as_its_events_one_by_one() -> None:
    """Also where the learner they go to was erased between two of them."""
    story: list[tuple[str, str, dict[str, Any]]] = [
        ("enroll", "c", {"at": OLD}),
        ("merge", "", {"into": B, "at": OLD}),
        ("progress", "d", {"value": 0.3, "at": OLD - 1}),
        ("progress", "d", {"value": 0.3, "at": OLD + 1}),
    ]
    alone, together = World(), World()
    for world in (alone, together):
        await world.send(B, "erase", at=OLD)
    for kind, course, fields in story:
        await alone.send(A, kind, course, **fields)
    records = [event(n, A, course, kind, **fields) for n, (kind, course, fields) in enumerate(story)]
    partition = partition_of(A, PARTITIONS)
    applied = await together.writers[partition].apply(chunk(*records, partition=partition))
    assert applied.counts == {"accepted": 2, "rerouted": 2}
    assert await alone.deliver() == await together.deliver() == 3
    assert await alone.records(B) == await together.records(B)
    assert (await together.records(B))["d"].quarter == 1


def test_many_records_are_handed_on_in_parts_that_a_broker_takes() -> None:
    record = RULES.records
    held = {f"{n:04}" + "ü" * 251: unpack(record.packed(_rated(n))) for n in range(2 * COURSES_HANDED_ON_AT_ONCE + 1)}
    parts = [*produced([HandedOn(B, (A,), held, NEW)], RULES)]
    assert len(parts) == 3
    assert all(len(part.record.value or b"") < 900_000 for part in parts)
    decoded = [decode_handed_on(part.record.value) for part in parts]
    assert {course: one for part in decoded for course, one in part.records.items()} == held
    assert all(part.erased_until_ms == NEW for part in decoded)


def _rated(n: int) -> Any:
    return record_of(Interaction("e", A, "c", "rate", OLD + n, 4.321), RULES.records)
