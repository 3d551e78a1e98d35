"""A running worker follows the topology in Redis and the topic in Kafka, and outlives what it cannot read."""

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
from recsys.keys import KeySpace, Topology
from recsys.online_store.memory import MemoryStore
from recsys.owner import LogIdentity, StateOwner
from recsys.settings import Settings, load_settings
from stream.engagement.topology_watch import TopologyWatch
from tests.doubles.stream import until

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
async def following() -> AsyncIterator[tuple[Store, TopologyWatch, list[Any]]]:
    """The topology being followed, and what is said."""
    store = Store()
    watch = TopologyWatch(load_settings(), store, MINE, every_s=0.001)
    with capture_logs() as said:
        task = asyncio.create_task(watch.follow_topology())
        yield store, watch, said
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert ended is None or isinstance(ended, asyncio.CancelledError)


async def test_a_topology_that_redis_lost_is_written_again(following: tuple[Store, TopologyWatch, list[Any]]) -> None:
    store, watch, _ = following
    await until(lambda: store.asked > 1)
    assert await store.topology() == MINE
    assert not watch.switched.is_set()


async def test_another_topology_ends_the_worker(following: tuple[Store, TopologyWatch, list[Any]]) -> None:
    store, watch, _ = following
    await until(lambda: store.asked > 1)
    assert await store.switch_topology(MINE, Topology(6, 1))
    await asyncio.wait_for(watch.switched.wait(), 10)


@pytest.mark.parametrize("other", [replace(OWNER, group="h"), replace(OWNER, log=LogIdentity("interactions", "id-2"))])
async def test_a_state_that_becomes_another_s_ends_the_worker(other: StateOwner) -> None:
    store = Store()
    watch = TopologyWatch(load_settings(), store, MINE, OWNER, every_s=0.001)
    task = asyncio.create_task(watch.follow_topology())
    await until(lambda: store.asked > 1)
    assert await store.owner() == OWNER
    assert await store.claim_state(OWNER, other)
    with pytest.raises(ForeignState):
        await asyncio.wait_for(task, 10)


async def test_a_topic_made_anew_under_a_running_worker_ends_it() -> None:
    logs = [LOG, LOG, replace(LOG, topic_id="id-2")]
    watch = TopologyWatch(
        load_settings(worker_topic_check_seconds=0.001),
        MemoryStore(),
        MINE,
        OWNER,
        check_topic=lambda _: logs.pop(0),
    )
    with pytest.raises(ForeignState, match=r"id-1.*id-2"):
        await asyncio.wait_for(watch.watch_topic(), 10)
    assert logs == []


async def test_a_topology_that_cannot_be_read_is_said_once_and_changes_nothing(
    following: tuple[Store, TopologyWatch, list[Any]],
) -> None:
    store, watch, said = following
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
    assert not watch.switched.is_set()


async def test_a_redis_that_is_away_postpones_the_look(following: tuple[Store, TopologyWatch, list[Any]]) -> None:
    store, watch, _ = following
    store.raises = ServiceUnavailable("Redis is away")
    await until(lambda: store.asked > 3)
    store.raises = None
    asked = store.asked
    await until(lambda: store.asked > asked + 1)
    assert not watch.switched.is_set()


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
    watch = TopologyWatch(settings, MemoryStore(), MINE, check_topic=check)
    with pytest.raises(ConfigurationError, match="CreateTime"):
        await asyncio.wait_for(watch.watch_topic(), 10)
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

    watch = TopologyWatch(load_settings(worker_topic_check_seconds=0.001), MemoryStore(), MINE, check_topic=check)
    with capture_logs() as said:
        task = asyncio.create_task(watch.watch_topic())
        await until(lambda: asked > 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {(line["event"], line["log_level"], line["error"]) for line in said} == {(event, level, str(met))}
