"""A running worker follows the topology in Redis, and outlives one that it cannot read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from recsys.errors import (
    ConfigurationError,
    ForeignState,
    ListenerMismatch,
    ServiceUnavailable,
    UnreadableState,
    UntrustedCertificate,
)
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Trending
from recsys.online_store.durability import Durability
from recsys.online_store.memory import MemoryStore
from recsys.owner import LogIdentity, StateOwner
from recsys.settings import Settings, load_settings
from stream.engagement.upkeep import Upkeep, pause_after
from tests.doubles.stream import until
from tests.doubles.upkeep import upkeep_of

MINE = Topology(6)
LOG = LogIdentity("interactions", "id-1", "cluster-1")
OWNER = StateOwner("recsys", "g", LOG)


class Store(MemoryStore):
    """Whose topology raises what it is told to, and counts how often it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.raises = 0, cast("Exception | None", None)

    async def establish_topology(self, topology: Topology, owner: StateOwner | None = None) -> Topology:
        self.asked += 1
        if self.raises is not None:
            raise self.raises
        return await super().establish_topology(topology, owner)


@pytest.fixture
async def following() -> AsyncIterator[tuple[Store, Upkeep, list[Any]]]:
    """The topology being followed, and what is said."""
    store = Store()
    upkeep = upkeep_of(store, MINE, topology_every_s=0.001)
    with capture_logs() as said:
        task = asyncio.create_task(upkeep.follow_topology())
        yield store, upkeep, said
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert ended is None or isinstance(ended, asyncio.CancelledError)


async def test_a_topology_that_redis_lost_is_written_again(following: tuple[Store, Upkeep, list[Any]]) -> None:
    store, upkeep, _ = following
    await until(lambda: store.asked > 1)
    assert await store.topology() == MINE
    assert not upkeep.switched.is_set()


async def test_another_topology_ends_the_worker(following: tuple[Store, Upkeep, list[Any]]) -> None:
    store, upkeep, _ = following
    await until(lambda: store.asked > 1)
    assert await store.switch_topology(MINE, Topology(6, 1))
    await asyncio.wait_for(upkeep.switched.wait(), 10)


@pytest.mark.parametrize("other", [replace(OWNER, group="h"), replace(OWNER, log=LogIdentity("interactions", "id-2"))])
async def test_a_state_that_becomes_another_s_ends_the_worker(other: StateOwner) -> None:
    store = Store()
    upkeep = upkeep_of(store, MINE, topology_every_s=0.001, owner=OWNER)
    task = asyncio.create_task(upkeep.follow_topology())
    await until(lambda: store.asked > 1)
    assert await store.owner() == OWNER
    assert await store.claim_state(OWNER, other)
    with pytest.raises(ForeignState):
        await asyncio.wait_for(task, 10)


async def test_a_topic_made_anew_under_a_running_worker_ends_it() -> None:
    logs = [LOG, LOG, replace(LOG, topic_id="id-2")]
    upkeep = upkeep_of(
        MemoryStore(),
        MINE,
        load_settings(worker_topic_check_seconds=0.001),
        check_topic=lambda _: logs.pop(0),
        owner=OWNER,
    )
    with pytest.raises(ForeignState, match=r"id-1.*id-2"):
        await asyncio.wait_for(upkeep.watch_topic(), 10)
    assert logs == []


async def test_a_topology_that_cannot_be_read_is_said_once_and_changes_nothing(
    following: tuple[Store, Upkeep, list[Any]],
) -> None:
    store, upkeep, said = following
    await until(lambda: store.asked > 1)
    store.raises = UnreadableState(KeySpace().topology, "is not valid JSON", remedy="delete it")
    asked = store.asked
    await until(lambda: store.asked > asked + 5)
    store.raises = None
    asked = store.asked
    await until(lambda: store.asked > asked + 2)
    assert [line["event"] for line in said] == ["topology_unreadable", "topology_readable_again"]
    assert "Redis key 'recsys:topology' is not valid JSON; delete it" in said[0]["error"]
    assert said[0]["working_on"] == MINE
    assert not upkeep.switched.is_set()


async def test_a_redis_that_is_away_postpones_the_look(following: tuple[Store, Upkeep, list[Any]]) -> None:
    store, upkeep, _ = following
    store.raises = ServiceUnavailable("Redis is away")
    await until(lambda: store.asked > 3)
    store.raises = None
    asked = store.asked
    await until(lambda: store.asked > asked + 1)
    assert not upkeep.switched.is_set()


async def test_a_topic_that_lost_its_arrival_time_ends_the_worker_and_a_silent_kafka_does_not() -> None:
    answers: list[Exception | None] = [
        None,
        ServiceUnavailable("Kafka is away"),
        ConfigurationError("CreateTime"),
        None,
    ]
    asked: list[object] = []

    def check(settings: Settings) -> LogIdentity:
        asked.append(settings)
        answer = answers[len(asked) - 1]
        if answer is not None:
            raise answer
        return LOG

    settings = load_settings(worker_topic_check_seconds=0.001)
    upkeep = upkeep_of(MemoryStore(), MINE, settings, check_topic=check)
    with pytest.raises(ConfigurationError, match="CreateTime"):
        await asyncio.wait_for(upkeep.watch_topic(), 10)
    assert asked == [settings] * 3


@pytest.mark.parametrize(
    ("met", "event", "level"),
    [
        (ListenerMismatch("it wants a login"), "postponed", "warning"),
        (UntrustedCertificate("it has expired"), "kafka_certificate_not_trusted", "error"),
    ],
)
async def test_what_only_new_connections_meet_ends_no_connected_worker(
    met: ConfigurationError, event: str, level: str
) -> None:
    """A reset of the network looks like a listener that wants a login; a standing connection needs no certificate."""
    asked = 0

    def check(_: Settings) -> LogIdentity:
        nonlocal asked
        asked += 1
        raise met

    upkeep = upkeep_of(MemoryStore(), MINE, load_settings(worker_topic_check_seconds=0.001), check_topic=check)
    with capture_logs() as said:
        task = asyncio.create_task(upkeep.watch_topic())
        await until(lambda: asked > 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {(line["event"], line["log_level"], line["error"]) for line in said} == {(event, level, str(met))}


async def test_a_redis_that_begins_to_evict_ends_the_worker_and_evicted_keys_are_told() -> None:
    class Evicting(MemoryStore):
        answers = (
            Durability("noeviction", evicted_keys=0),
            Durability("noeviction", evicted_keys=7),
            Durability("allkeys-lru"),
        )
        asked = 0

        async def durability(self) -> Durability:
            self.asked += 1
            return self.answers[self.asked - 1]

    upkeep = upkeep_of(Evicting(), MINE, durability_every_s=0.001)
    with capture_logs() as said, pytest.raises(ConfigurationError, match="allkeys-lru"):
        await asyncio.wait_for(upkeep.watch_redis(), 10)
    assert [(line["event"], line["keys"]) for line in said] == [("redis_evicted_keys", 7)]


@pytest.mark.parametrize("refused", [False, True])
async def test_the_log_of_redis_is_rewritten_once_after_each_of_its_starts(refused: bool) -> None:
    class Restarting(MemoryStore):
        answers = ("one", "one", None, "two", "two")
        asked = 0
        rewritten: list[str] = []  # noqa: RUF012 - of this test

        async def durability(self) -> Durability:
            self.asked += 1
            if self.asked > len(self.answers):
                return Durability("allkeys-lru")
            return Durability("noeviction", append_only=True, run_id=self.answers[self.asked - 1])

        async def rewrite_log(self, run_id: str) -> bool:
            self.rewritten.append(run_id)
            if refused:
                raise UnreadableState("BGREWRITEAOF", "is refused: NOPERM")
            return True

    store = Restarting()
    upkeep = upkeep_of(store, MINE, durability_every_s=0.001)
    with capture_logs() as said, pytest.raises(ConfigurationError):
        await asyncio.wait_for(upkeep.watch_redis(), 10)
    assert store.rewritten == ["one", "two"]
    assert {line["event"] for line in said} == {"redis_log_not_rewritten" if refused else "redis_log_rewritten"}


@pytest.mark.parametrize(("owned", "merges"), [({0, 3}, True), ({3}, False), (set(), False)])
async def test_trending_is_merged_by_the_owner_of_one_partition_alone(owned: set[int], merges: bool) -> None:
    asked = 0

    def owned_now() -> set[Partition]:
        nonlocal asked
        asked += 1
        return {Partition(number) for number in owned}

    store = MemoryStore()
    upkeep = upkeep_of(store, MINE, owned=owned_now, trending_every_s=0.001)
    task = asyncio.create_task(upkeep.trend())
    await until(lambda: asked > 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await store.trending() is not None) is merges


async def test_trending_is_merged_less_often_while_a_worker_catches_up() -> None:
    class Store(MemoryStore):
        merged = 0

        async def write_trending(self, trending: Trending) -> None:
            self.merged += 1

    store, asked, behind = Store(), 0, True

    def catching_up() -> bool:
        nonlocal asked
        asked += 1
        return behind

    often = upkeep_of(store, MINE, owned=lambda: {Partition(0)}, trending_every_s=0.001, catching_up=catching_up)
    task = asyncio.create_task(often.trend())
    await until(lambda: asked > 5)
    assert store.merged == 0
    behind = False
    await until(lambda: store.merged > 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.merged, behind = 0, True
    task = asyncio.create_task(replace(often, longest_pause_s=0.01).trend())
    await until(lambda: store.merged > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.0, 2.0), (0.2, 2.0), (0.5, 4.5), (60.0, 20.0)])
def test_a_merge_that_takes_long_is_made_less_often(took_s: float, pause_s: float) -> None:
    assert pause_after(took_s, 2.0) == pause_s
