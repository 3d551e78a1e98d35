"""State in Redis that no retry mends stops its partition, is named once, and leaves the others and the worker alone."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from recsys.errors import UnreadableState
from recsys.keys import Partition, Shard, Topology
from recsys.online_store import Effects
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement.isolation import TRY_AGAIN_S
from tests.doubles.partitions import PARTITIONS, TOPOLOGY, Scene

SPOILT = TOPOLOGY.shard(Partition(1))
KEY = "{s1}:eng:ada"
GROUP = load_settings().consumer_group


class Spoilt(MemoryStore):
    """One shard whose methods meet a key of another type, those in `broken`."""

    def __init__(self, *broken: str, remedy: str | None = None) -> None:
        super().__init__()
        self.broken, self._named = set(broken), {} if remedy is None else {"remedy": remedy}

    def _meet(self, method: str, shard: Shard) -> None:
        if shard == SPOILT and method in self.broken:
            raise UnreadableState(KEY, "holds a list, not a hash", **self._named)

    async def read_shard(self, shard: Shard, *arguments: Any) -> Any:
        self._meet("read_shard", shard)
        return await super().read_shard(shard, *arguments)

    async def commit(self, shard: Shard, *arguments: Any) -> bool:
        self._meet("commit", shard)
        return await super().commit(shard, *arguments)

    async def begin(self, shard: Shard, group: str) -> Any:
        self._meet("begin", shard)
        return await super().begin(shard, group)

    async def end(self, shard: Shard, group: str) -> None:
        self._meet("end", shard)
        await super().end(shard, group)

    async def fence(self, shard: Shard, group: str) -> int | None:
        self._meet("fence", shard)
        return await super().fence(shard, group)

    async def guard(self, shard: Shard, group: str) -> Any:
        self._meet("guard", shard)
        return await super().guard(shard, group)

    async def stop_partition(self, shard: Shard, *arguments: Any) -> None:
        self._meet("guard", shard)
        await super().stop_partition(shard, *arguments)


def stopped(partition: int) -> float | None:
    return REGISTRY.get_sample_value("recsys_partition_stopped", {"partition": str(partition)})


async def applied_everywhere(scene: Scene, offset: int) -> list[bool]:
    """Delivers one chunk to each partition; whether each was acknowledged."""
    deliveries = [await scene.put(partition, offset) for partition in range(PARTITIONS)]
    await scene.settle()
    return [delivery.acked for delivery in deliveries]


@pytest.mark.parametrize("method", ["read_shard", "commit", "begin"])
async def test_the_partition_stops_and_is_named_and_the_others_go_on(method: str) -> None:
    store = Spoilt(method)
    scene = Scene(store)
    with capture_logs() as said:
        for offset in range(3):
            assert await applied_everywhere(scene, offset) == [True, False, True]
            await scene.check_idle(1)
    assert [await scene.fence(partition) for partition in range(PARTITIONS)] == [2, None, 2]
    (line,) = [line for line in said if line["event"] == "partition_stopped"]
    assert (line["partition"], line["log_level"]) == (1, "error")
    assert f"Redis key '{KEY}' holds a list, not a hash; run `recsys rebuild`" in line["reason"]
    stop = (await store.guard(SPOILT, GROUP)).stop
    assert stop is not None
    assert (stop.unreadable, stop.reason) == (KEY, line["reason"])
    assert [stopped(partition) for partition in range(PARTITIONS)] == [0.0, 1.0, 0.0]


async def test_an_idle_check_that_meets_it_stops_the_partition_too() -> None:
    store = Spoilt()
    scene = Scene(store)
    assert await applied_everywhere(scene, 0) == [True] * PARTITIONS
    store.broken = {"fence"}
    await scene.check_idle(1)
    store.broken = set()
    stop = (await store.guard(SPOILT, GROUP)).stop
    assert stop is not None
    assert stop.offset == 1
    assert await scene.partitions.of(Partition(1)).progress() == (None, 0)


async def test_the_stop_outlives_the_worker_and_ends_when_an_operator_resumes_it() -> None:
    store = Spoilt("read_shard")
    assert await applied_everywhere(Scene(store), 0) == [True, False, True]
    store.broken = set()  # the operator deleted the key
    scene = Scene(store)
    delivery = await scene.put(1, 0)
    await scene.settle()
    assert not delivery.acked
    await store.resume_partition(SPOILT, GROUP)
    await scene.check_idle(1)
    assert scene.logs[Partition(1)].seeks == [0]
    delivery = await scene.put(1, 0)
    await scene.settle()
    assert delivery.acked


async def test_an_operator_who_resumes_it_waits_for_nothing_and_is_told() -> None:
    store = Spoilt("read_shard")
    scene = Scene(store)
    assert await applied_everywhere(scene, 0) == [True, False, True]
    store.broken = set()
    await store.resume_partition(SPOILT, GROUP)
    with capture_logs() as said:
        await scene.check_idle(1)
    assert [(line["event"], line["partition"]) for line in said] == [("partition_resumed", 1)]
    assert stopped(1) == 0.0


async def test_what_is_met_again_after_the_partition_went_on_is_told_again() -> None:
    store = Spoilt("commit", remedy="give the right")
    scene = Scene(store)
    with capture_logs() as said:
        for offset in (0, 1):
            store.broken = {"commit"}
            await scene.put(1, offset)
            await scene.settle()
            store.broken = set()
            scene.now += TRY_AGAIN_S
            await scene.check_idle(1)
            await scene.put(1, offset)
            await scene.settle()
            assert await scene.fence(1) == offset
    assert [line["event"] for line in said].count("partition_stopped") == 2


async def test_a_partition_goes_on_where_the_fence_is_by_then() -> None:
    store = Spoilt("commit")
    scene = Scene(store)
    assert await applied_everywhere(scene, 0) == [True, False, True]
    store.broken = set()
    assert await store.commit(SPOILT, GROUP, None, 5, Effects())  # another owner, before this one got it back
    await store.resume_partition(SPOILT, GROUP)
    await scene.check_idle(1)
    delivery = await scene.put(1, 6)
    await scene.settle()
    assert (delivery.acked, scene.logs[Partition(1)].seeks) == (True, [6])


async def test_a_rebuild_heals_it() -> None:
    """The shards of the next generation are new; a worker of the new topology begins with them."""
    store = Spoilt("read_shard", "begin", "guard")
    assert await applied_everywhere(Scene(store), 0) == [True, False, True]
    assert await store.establish_topology(TOPOLOGY) == TOPOLOGY
    rebuilt = Topology(PARTITIONS, 1)
    assert await store.switch_topology(TOPOLOGY, rebuilt)
    assert await applied_everywhere(Scene(store, topology=rebuilt), 0) == [True] * PARTITIONS


async def test_where_the_key_is_the_one_that_keeps_stops_the_worker_remembers_and_tries_again() -> None:
    store = Spoilt("begin", "guard")
    scene = Scene(store)
    with capture_logs() as said:
        for _ in range(3):
            assert await applied_everywhere(scene, 0) == [True, False, True]
            await scene.check_idle(1)
            scene.now += TRY_AGAIN_S
    assert [line["event"] for line in said].count("partition_stopped") == 1
    store.broken = set()  # the operator deleted the key
    await scene.check_idle(1)
    assert await applied_everywhere(scene, 0) == [True] * PARTITIONS
    assert [stopped(partition) for partition in range(PARTITIONS)] == [0.0] * PARTITIONS


async def test_what_a_rebuild_does_not_heal_is_tried_again_by_itself() -> None:
    """A right that Redis refuses: once it is given, nobody has to resume anything."""
    store = Spoilt("commit", remedy="give the right")
    scene = Scene(store)
    assert await applied_everywhere(scene, 0) == [True, False, True]
    assert (await store.guard(SPOILT, GROUP)).stop is None
    store.broken = set()
    await scene.check_idle(1)
    assert not (await scene.put(1, 0)).acked  # its time is not over
    await scene.settle()
    scene.now += TRY_AGAIN_S
    await scene.check_idle(1)
    again = await scene.put(1, 0)
    await scene.settle()
    assert again.acked


async def test_a_worker_whose_partition_cannot_be_ended_ends_all_the_same() -> None:
    store = Spoilt("end")
    scene = Scene(store)
    assert await applied_everywhere(scene, 0) == [True] * PARTITIONS
    await scene.partitions.end()
    starts = [(await store.guard(TOPOLOGY.shard(Partition(number)), GROUP)).starts for number in range(PARTITIONS)]
    assert starts == [0, 1, 0]
