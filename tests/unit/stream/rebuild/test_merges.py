"""A rebuild of a topic with merges, erasures and opposites gives the state of the live fold, whatever came twice.

Workers are imitated over logs in memory: they fold a partition in chunks of any size, append what they reroute
and hand on, and now and then die after that and before the commit, so that it is appended again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from recsys.events import EVENT_TYPES
from recsys.keys import BOT, COUNTS, DIRTY, DONE, ENGAGEMENT, ERASED, MERGED, Partition, Topology, partition_of
from recsys.online_store.memory import MemoryStore
from recsys.record import RecordRules, unpack
from stream.engagement.fold import FoldRules, Misrouted, decode_records, fold, produced
from stream.engagement.steps import read_state
from stream.rebuild.fold_log import BulkFold, Past
from stream.rebuild.previous import HANDED_ON, TYPES_OF_FORMAT_1
from tests.doubles.stream import ARRIVAL, HOUR_MS, FakeRecord, event

PARTITIONS, GROUP = 4, "g"
USERS = [f"u{n}" for n in range(12)]
KINDS = ("view", "click", "play", "bookmark", "unbookmark", "enroll", "unenroll", "complete", "uncomplete", "dismiss")
PASSED = frozenset({*EVENT_TYPES, HANDED_ON})

Logs = dict[Partition, list[FakeRecord]]


def rules(generation: int = 0, partitions: int = PARTITIONS) -> FoldRules:
    return FoldRules(RecordRules(), Topology(partitions, generation))


@dataclass
class Workers:
    """All partitions' workers, over logs that they append to."""

    logs: Logs
    rng: random.Random
    store: MemoryStore = field(default_factory=MemoryStore)
    fences: dict[Partition, int] = field(default_factory=dict)
    generation: int = 0
    clock: int = ARRIVAL + 1000 * HOUR_MS

    def append(self, records: Sequence[Misrouted]) -> None:
        for stray in records:
            log = self.logs[stray.partition]
            self.clock += 1
            copy = FakeRecord(
                len(log), stray.record.value, stray.user_id.encode(), self.clock, tuple(stray.record.headers)
            )
            log.append(copy)

    def waiting(self) -> list[Partition]:
        return [p for p, log in self.logs.items() if self.fences.get(p, -1) + 1 < len(log)]

    async def step(self) -> None:
        partition = self.rng.choice(self.waiting())
        start = self.fences.get(partition, -1) + 1
        records = self.logs[partition][start : start + self.rng.randint(1, 9)]
        of = rules(self.generation)
        shard = of.topology.shard(partition)
        batch = decode_records(records, partition, of)
        state = await read_state(self.store, shard, GROUP, batch, of)
        assert state is not None
        effects = fold(batch, state, of)
        self.append([*batch.misrouted, *produced(effects.handed_on, of)])
        if self.rng.random() < 0.15:
            return  # died before the commit; its successor begins at the fence again
        assert await self.store.commit(shard, GROUP, state.fence, records[-1].offset, effects)
        self.fences[partition] = records[-1].offset

    async def drain(self, steps: int | None = None) -> None:
        while self.waiting() and steps != 0:
            await self.step()
            steps = None if steps is None else steps - 1


Into = Callable[[str], list[str]]
"""Learners whom a learner may be merged into."""


def anybody(user: str) -> list[str]:
    """Chains, cycles, several merges of one learner."""
    return [each for each in USERS if each != user]


def somebody_later(user: str) -> list[str]:
    """Several merges of one learner, and no cycle."""
    return USERS[USERS.index(user) + 1 :]


def always_the_same(user: str) -> list[str]:
    """Cycles, and every learner is merged into one other only."""
    return [USERS[(5 * USERS.index(user) + 2) % len(USERS)]]


def made_logs(rng: random.Random, into: Into = anybody, events: int = 250, partitions: int = PARTITIONS) -> Logs:
    logs: Logs = {Partition(number): [] for number in range(partitions)}
    for n in range(events):
        user, arrival = rng.choice(USERS), ARRIVAL + n * HOUR_MS // 4
        at = arrival - rng.choice((0, 0, HOUR_MS, 40 * 24 * HOUR_MS))
        where = partition_of(user, partitions)
        if rng.random() < 0.05:
            where = Partition(rng.randrange(partitions))
        log, chance = logs[where], rng.random()
        if chance < 0.03 and (targets := [each for each in into(user) if each != user]):
            fields: dict[str, Any] = {"into": rng.choice(targets)}
            log.append(event(len(log), user, "", "merge", at=at, arrival=arrival, id=f"e{n}", **fields))
        elif chance < 0.05:
            log.append(event(len(log), user, "", "erase", at=at, arrival=arrival, id=f"e{n}"))
        elif chance < 0.07:
            log.append(FakeRecord(len(log), b"junk", user.encode(), arrival))
        else:
            kind, course = rng.choice(KINDS), f"c{rng.randrange(5)}"
            log.append(event(len(log), user, course, kind, at=at, arrival=arrival, id=f"e{n}"))
            if rng.random() < 0.1:
                log.append(event(len(log), user, course, kind, at=at, arrival=arrival, id=f"other{n}"))
    return logs


def learners(store: MemoryStore, topology: Topology) -> dict[str, Any]:
    """Everything that does not depend on how often a record came."""
    found: dict[str, Any] = {}
    for partition in topology.every_partition():
        contents = store.contents(topology.shard(partition))
        for state in (ENGAGEMENT, DONE, ERASED, MERGED):
            for owner, entries in contents.values[state].items():
                if entries:
                    found[f"{state} {owner or partition}"] = (
                        {course: unpack(packed) for course, packed in entries.items()}
                        if state == ENGAGEMENT
                        else entries
                    )
    return found


async def trending(store: MemoryStore, topology: Topology) -> dict[tuple[int, str], float]:
    return {
        (partition, course): stored
        for partition in topology.every_partition()
        for course, stored in (await store.trend(topology.shard(partition), 999)).sums.items()
    }


def shard_for_shard(store: MemoryStore, topology: Topology) -> dict[int, Any]:
    """What counts every record once, too: the counters, what the bot rules remember, who waits for a list."""
    return {
        partition: (
            contents.counters[COUNTS],
            {user: dict(held) for user, held in contents.texts[BOT].items() if held},
            contents.marks[DIRTY].keys(),
        )
        for partition in topology.every_partition()
        for contents in [store.contents(topology.shard(partition))]
    }


def arrived(logs: Mapping[Partition, Sequence[FakeRecord]], until: Mapping[Partition, int]) -> list[Any]:
    inside = [(p, record) for p, log in logs.items() for record in log[: until.get(p, -1) + 1]]
    return sorted(inside, key=lambda item: item[1].timestamp)


async def rebuild(bulk: BulkFold, records: Sequence[Any], rng: random.Random) -> list[Misrouted]:
    sent: list[Misrouted] = []
    while records:
        size = rng.randint(1, 60)
        sent += (await bulk.add(records[:size])).rerouted
        records = records[size:]
    return sent


@pytest.mark.parametrize("seed", range(5))
async def test_of_what_workers_passed_nothing_is_sent_again_and_every_shard_is_theirs(seed: int) -> None:
    rng = random.Random(seed)
    workers = Workers(made_logs(rng), rng)
    await workers.drain()
    bulk = BulkFold(rules(1), past=dict.fromkeys(workers.logs, Past(PARTITIONS, 0, frozenset(), PASSED)))
    assert await rebuild(bulk, arrived(workers.logs, workers.fences), rng) == []
    assert learners(bulk.memory, Topology(PARTITIONS, 1)) == learners(workers.store, Topology(PARTITIONS))
    assert shard_for_shard(bulk.memory, Topology(PARTITIONS, 1)) == shard_for_shard(workers.store, Topology(PARTITIONS))
    assert await trending(bulk.memory, Topology(PARTITIONS, 1)) == pytest.approx(
        await trending(workers.store, Topology(PARTITIONS)), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("passed", ["nothing", "half"])
@pytest.mark.parametrize("into", [somebody_later, always_the_same])
async def test_workers_that_go_on_after_a_rebuild_come_to_the_same_state(seed: int, passed: str, into: Into) -> None:
    """Of a lost Redis, where the log of the producers is all that is left, and of a rebuild while workers fold.

    Where learners of a cycle are merged a second time into another, who of them keeps the records depends on the order
    in which partitions are read (docs/state.md), so there two folds need not agree.
    """
    rng = random.Random(seed)
    logs = made_logs(rng, into)
    workers = Workers({p: [*log] for p, log in logs.items()}, random.Random(seed + 100))
    if passed == "half":
        await workers.drain(steps=40)
        past = dict.fromkeys(logs, Past(PARTITIONS, 0, frozenset(), PASSED))
        fences = dict(workers.fences)
    else:
        past, fences = {}, {p: len(log) - 1 for p, log in logs.items()}
    successors = Workers({p: [*log] for p, log in workers.logs.items()}, random.Random(seed + 200), generation=1)
    bulk = BulkFold(rules(1), past=past)
    sent = await rebuild(bulk, arrived(successors.logs, fences), rng)
    assert bool(sent) is (passed == "nothing")
    successors.append(sent)
    successors.store, successors.fences = bulk.memory, dict(fences)
    for partition in logs:
        shard = Topology(PARTITIONS, 1).shard(partition)
        successors.store._shards[shard].fences[GROUP] = fences.get(partition, -1)
    await successors.drain()
    await workers.drain()
    assert learners(successors.store, Topology(PARTITIONS, 1)) == learners(workers.store, Topology(PARTITIONS))
    assert await trending(successors.store, Topology(PARTITIONS, 1)) == pytest.approx(
        await trending(workers.store, Topology(PARTITIONS)), rel=1e-9
    )


async def test_a_migration_sends_what_workers_of_sums_did_not_know() -> None:
    """They rerouted a click, refused a merge and an opposite, and handed nothing on."""
    target = partition_of("u", PARTITIONS)
    elsewhere = Partition((target + 1) % PARTITIONS)
    log = [
        (elsewhere, event(0, "u", "c", "click")),
        (elsewhere, event(1, "u", "c", "unbookmark")),
        (target, event(0, "u", "c", "enroll")),
        (target, event(1, "u", "", "merge", into="v")),
    ]
    for known, sent in (
        (TYPES_OF_FORMAT_1, ["unbookmark", None]),
        (PASSED, []),
        (frozenset(), ["click", "unbookmark", None]),
    ):
        past = dict.fromkeys((target, elsewhere), Past(PARTITIONS, 0, frozenset(), known))
        unsent = await BulkFold(rules(1), past=past).add(log)
        kinds = [
            next((kind for kind in ("click", "unbookmark") if kind.encode() in (each.record.value or b"")), None)
            for each in unsent.rerouted
        ]
        assert kinds == sent
        assert all(
            each.user_id == ("v" if kind is None else "u") for each, kind in zip(unsent.rerouted, kinds, strict=True)
        )


@pytest.mark.parametrize("seed", range(4))
async def test_a_topic_that_grows_keeps_every_learner(seed: int) -> None:
    rng = random.Random(seed)
    workers = Workers(made_logs(rng), rng)
    await workers.drain()
    grown = Topology(9, 1)
    past = {p: Past(PARTITIONS, 0, frozenset(), PASSED) for p in workers.logs}
    bulk = BulkFold(FoldRules(RecordRules(), grown), past=past)
    assert await rebuild(bulk, arrived(workers.logs, workers.fences), rng) == []
    before, after = (learners(store, of) for store, of in ((workers.store, Topology(PARTITIONS)), (bulk.memory, grown)))
    of_learners = {key: value for key, value in before.items() if key.split()[0] in (ENGAGEMENT, DONE)}
    assert {key: value for key, value in after.items() if key.split()[0] in (ENGAGEMENT, DONE)} == of_learners
