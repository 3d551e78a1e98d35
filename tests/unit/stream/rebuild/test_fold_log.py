"""A rebuild holds what the workers would: the same fold, in whichever partition a record lies, under any count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import TopicPartition

from recsys.errors import RefusalReason, TopologyMismatch
from recsys.kafka.records import MAX_PRODUCED_BYTES
from recsys.keys import BOT, COUNTS, DONE, ENGAGEMENT, Partition, Shard, Topology, partition_of
from recsys.online_store import Effects, OnlineStore
from recsys.online_store.memory import MemoryStore
from recsys.online_store.redis.store import RedisStore
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.steps import read_state
from stream.rebuild.fold_log import BulkFold, Past, fold_log
from stream.rebuild.log_reader import LogReader
from stream.rebuild.spans import Span
from stream.rebuild.write_shard import write_shard
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeOutputs, FakeRecord, event

GROUP = "g"
PARTITION = Partition(0)
USERS = [f"u{n}" for n in range(40)]


def rules(partitions: int, generation: int = 0) -> FoldRules:
    return FoldRules(RULES.records, Topology(partitions, generation))


def log_of(partitions: int) -> dict[Partition, list[FakeRecord]]:
    """Two days of events keyed under `partitions`, some repeated an hour later, some refused."""
    logs: dict[Partition, list[FakeRecord]] = {Partition(number): [] for number in range(partitions)}
    for n in range(1000):
        user, arrival = USERS[n * 7 % 40], ARRIVAL + n * 48 * HOUR_MS // 1000
        records = logs[partition_of(user, partitions)]
        kind = ("view", "click", "enroll", "dismiss")[n % 4]
        number = n - 21 if n % 50 == 21 else n  # 21 events earlier is an hour earlier
        if n % 90 == 5:
            records.append(FakeRecord(len(records), b"junk", timestamp=arrival))
        else:
            at = ARRIVAL - n * HOUR_MS
            records.append(
                event(len(records), user, f"c{n % 13}", kind, id=f"e{number % 7}-{number}", at=at, arrival=arrival)
            )
    return logs


async def as_the_workers_do(logs: dict[Partition, list[FakeRecord]], under: FoldRules) -> MemoryStore:
    store = MemoryStore()
    for partition, records in logs.items():
        for record in records:  # chunks of one, so that every bucket boundary is met
            batch = decode_records([record], partition, under)
            state = await read_state(store, Shard(partition), GROUP, batch, under)
            assert state is not None
            assert await store.commit(Shard(partition), GROUP, state.fence, record.offset, fold(batch, state, under))
    return store


async def rebuilt(
    logs: dict[Partition, list[FakeRecord]],
    under: FoldRules,
    slice_of: int = 77,
    *,
    past: Mapping[Partition, Past] | None = None,
) -> BulkFold:
    """As after workers that read all of the logs under as many partitions as there are."""
    bulk = BulkFold(under, past=dict.fromkeys(logs, Past(len(logs), 0)) if past is None else past)
    arrived = sorted(((p, r) for p, records in logs.items() for r in records), key=lambda item: item[1].timestamp)
    for start in range(0, len(arrived), slice_of):
        await bulk.add(arrived[start : start + slice_of])
    return bulk


def learners(store: MemoryStore, shards: Sequence[int]) -> dict[str, Any]:
    """Everything about every learner, whatever shard holds it."""
    found: dict[str, Any] = {}
    for shard in shards:
        contents = store.contents(Shard(shard))
        for user, records in contents.values[ENGAGEMENT].items():
            if records:
                found[user] = (dict(records), contents.values[DONE].get(user, {}), contents.texts[BOT][user])
    return found


@pytest.mark.parametrize(("before", "after"), [(4, 4), (4, 9), (1, 6)])
async def test_every_learner_is_as_the_workers_made_them(before: int, after: int) -> None:
    logs = log_of(before)
    live, bulk = await as_the_workers_do(logs, rules(before)), await rebuilt(logs, rules(after, 1))
    shards = Topology(after, 1).shards()
    assert learners(bulk.memory, shards) == learners(live, range(before))
    for shard in shards:
        targets = {partition_of(user, after) for user in bulk.memory.contents(shard).values[ENGAGEMENT]}
        assert targets <= {shard - 10_000}


@pytest.mark.parametrize("slice_of", [1, 13, 1000])
async def test_counts_add_up_to_the_log(slice_of: int) -> None:
    logs = log_of(4)
    live, bulk = await as_the_workers_do(logs, rules(4)), await rebuilt(logs, rules(4, 1), slice_of)
    for partition in range(4):
        assert bulk.memory.contents(Shard(10_000 + partition)).counters[COUNTS] == await live.counts(Shard(partition))
    assert bulk.records == 1000


async def test_a_topic_that_grew_is_folded_by_learner_though_each_lies_in_two_partitions() -> None:
    logs = log_of(2)
    grown: dict[Partition, list[FakeRecord]] = {**logs, **{Partition(number): [] for number in range(2, 6)}}
    late = [event(0, user, "late", id=f"late-{user}", arrival=ARRIVAL + 50 * HOUR_MS) for user in USERS]
    for record, user in zip(late, USERS, strict=True):
        grown[partition_of(user, 6)].append(record)
    bulk = await rebuilt(grown, rules(6, 1), past={p: Past(6, len(records)) for p, records in logs.items()})
    found = learners(bulk.memory, Topology(6, 1).shards())
    assert set(found) == set(USERS)
    assert all("late" in found[user][0] for user in USERS)


async def test_a_record_that_ends_workers_is_left_unread() -> None:
    bulk = BulkFold(rules(1, 1), past={PARTITION: Past(1, 0, frozenset({1}))})
    unsent = await bulk.add([(PARTITION, event(0)), (PARTITION, event(1, "v")), (PARTITION, event(2))])
    assert [refusal.error.reason for refusal in unsent.refused[PARTITION]] == [RefusalReason.CRASHED_WORKER]
    assert bulk.memory.contents(Shard(10_000)).counters[COUNTS] == {"accepted": 2, "refused": 1}


async def test_of_a_record_that_was_rerouted_the_copy_counts_as_it_did_then() -> None:
    """The original is stamped a minute ahead, so it would be clamped to its own arrival, not to the copy's."""
    target = partition_of("u", 2)
    elsewhere = Partition(1 - target)
    ahead: dict[str, Any] = {"id": "x", "at": ARRIVAL + 60_000}
    astray, copy = event(0, arrival=ARRIVAL, **ahead), event(0, arrival=ARRIVAL + 9000, **ahead)
    logs = {elsewhere: [astray], target: [copy]}
    live = await as_the_workers_do(logs, rules(2))
    for since, equal in ((0, True), (1, False)):  # before `since` a lower partition count put records where they lie
        past = {Partition(number): Past(2, since) for number in range(2)}
        bulk = BulkFold(rules(2, 1), past=past)
        await bulk.add([(elsewhere, astray), (target, copy)])
        assert (learners(bulk.memory, Topology(2, 1).shards()) == learners(live, range(2))) is equal
        counted = bulk.memory.contents(Shard(10_000 + elsewhere)).counters[COUNTS]
        assert counted == ({"rerouted": 1} if equal else {})


async def test_what_no_worker_has_passed_is_rerouted_as_a_worker_would() -> None:
    """The counters of a rebuilt shard are those of the live fold of the same log, whoever folds it first."""
    target = partition_of("u", 2)
    elsewhere, outputs = Partition(1 - target), FakeOutputs()
    log = [(elsewhere, event(0, id="astray")), (target, event(0, id="home"))]
    bulk = BulkFold(rules(2, 1), past={})
    await fold_log(
        FakeReader([log]),
        bulk,
        outputs,
        now_ms=lambda: 5,
        progress=lambda _: None,
    )
    assert [(sent.user_id, sent.partition, sent.record) for sent in outputs.misrouted] == [("u", target, log[0][1])]
    counted = {p: dict(bulk.memory.contents(Shard(10_000 + p)).counters[COUNTS]) for p in (elsewhere, target)}
    assert counted == {elsewhere: {"rerouted": 1}, target: {"accepted": 1}}


async def test_a_misrouted_record_too_large_to_be_sent_is_refused_by_every_rebuild_after_a_worker_refused_it() -> None:
    target = partition_of("u", 2)
    elsewhere = Partition(1 - target)
    large = replace(event(3), headers=[("trace", b"x" * MAX_PRODUCED_BYTES)])  # its value alone would be accepted
    past = {elsewhere: Past(2, 0)}
    for _ in range(3):
        bulk = BulkFold(rules(2, 1), past=past)
        unsent = await bulk.add([(elsewhere, large)])
        assert [len(refused) for refused in unsent.refused.values()] == [1]
        past = {elsewhere: Past(2, 4, frozenset(bulk.quarantined[elsewhere]))}  # as the command passes it


class FakeReader(LogReader):
    def __init__(self, slices: list[list[tuple[Partition, FakeRecord]]]) -> None:
        self._slices = slices

    async def read(self) -> AsyncIterator[Any]:
        for records in self._slices:
            yield records


async def test_only_what_no_worker_passed_becomes_a_dead_letter_again() -> None:
    outputs, junk = FakeOutputs(), FakeRecord(0, b"junk")
    await fold_log(
        FakeReader([[(PARTITION, junk), (Partition(1), junk)]]),
        BulkFold(rules(2, 1), past={PARTITION: Past(2, 0, passed=frozenset({"click"}))}),
        outputs,
        now_ms=lambda: 5,
        progress=lambda _: None,
    )
    assert len(outputs.refused) == 1


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    redis = RedisStore.for_stream(request.getfixturevalue("redis_url"))
    yield redis
    await redis.close()


async def test_a_written_shard_is_what_was_folded(store: OnlineStore) -> None:
    logs = log_of(1)
    bulk = await rebuilt(logs, rules(1, 1))
    contents = bulk.memory.contents(Shard(10_000))
    await write_shard(contents, store, Shard(10_000), group=GROUP, fence=len(logs[PARTITION]) - 1)
    assert await store.fence(Shard(10_000), GROUP) == len(logs[PARTITION]) - 1
    assert await store.counts(Shard(10_000)) == contents.counters[COUNTS]
    shard = Shard(10_000)
    assert (await store.trend(shard, 100)).sums == (await bulk.memory.trend(shard, 100)).sums
    kept = {user async for user, _ in store.engagement(shard)}
    assert kept == set(contents.values[ENGAGEMENT])
    assert await store.user_states(shard, USERS) == await bulk.memory.user_states(shard, USERS)
    assert {user for user, _ in await store.dirty_users(shard, 100)} == kept
    batch = decode_records(logs[PARTITION][-300:], PARTITION, rules(1, 1))
    state = await store.read_shard(shard, GROUP, batch.reads(rules(1, 1)))
    assert state.texts[BOT] == {user: contents.texts[BOT][user]["features"] for user in state.texts[BOT]}


async def test_a_shard_that_somebody_else_writes_too_is_not_taken_for_a_whole_one(store: OnlineStore) -> None:
    logs, shard = log_of(1), Shard(10_000)
    contents = (await rebuilt(logs, rules(1, 1))).memory.contents(shard)
    await store.commit(shard, GROUP, None, 3, Effects())
    with pytest.raises(TopologyMismatch, match="another rebuild"):
        await write_shard(contents, store, shard, group=GROUP, fence=len(logs[PARTITION]) - 1)
    assert [user async for user, _ in store.engagement(shard)] == []


async def test_spans_without_records_are_read_without_a_broker() -> None:
    nobody = LogReader({"bootstrap_servers": "127.0.0.1:1"}, "t", [Span(PARTITION, 5, 5, applied=True)])
    assert [arrived async for arrived in nobody.read()] == []


def test_slices_come_in_order_of_arrival_over_all_partitions() -> None:
    reader = LogReader({}, "t", [])
    times = {0: [1, 1, 5, 9], 1: [2, 3, 4], 2: [4, 4, 8]}
    for partition, stamps in times.items():
        reader._pending[TopicPartition("t", partition)] = [
            FakeRecord(offset, b"", timestamp=stamp) for offset, stamp in enumerate(stamps)
        ]
    first = reader._slice()
    assert [record.timestamp for _, record in first] == [1, 1, 2, 3, 4, 4, 4]
    assert {tp.partition: len(records) for tp, records in reader._pending.items()} == {0: 2, 2: 1}
    assert [(partition, record.timestamp) for partition, record in reader._slice()] == [(0, 5), (2, 8)]
