"""The circuit, this process's own cache, and the trending snapshot on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from recsys.catalog import Course
from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Topology
from recsys.online_store import CachedTop, Trending
from recsys.online_store.memory import MemoryStore
from recsys.owner import LogIdentity, StateOwner
from serving.recommend.answers import Source
from serving.recommend.circuit import Circuit
from serving.recommend.learner import Learner, Learners
from serving.recommend.recent import RecentLists, Remembered
from serving.recommend.trending import LatestTrending

TOP = CachedTop("ada", "v", 1, ("c1",), (1.0,))
CATALOGUE = {"c1": Course(course_id="c1", title="One")}


class Service:
    def __init__(self) -> None:
        self.down, self.calls = True, 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.down:
            raise ServiceUnavailable("down")
        return "answer"


async def failing(circuit: Circuit, service: Service, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailable):
            await circuit.call(service)


async def test_after_three_failures_one_call_a_pause_is_made() -> None:
    now, service = 0.0, Service()
    circuit = Circuit(failures=3, pause_s=0.5, clock=lambda: now)
    await failing(circuit, service, 10)
    assert service.calls == 3
    now = 0.5
    await failing(circuit, service, 10)
    assert service.calls == 4


async def test_one_success_closes_it() -> None:
    now, service = 0.0, Service()
    circuit = Circuit(failures=3, pause_s=0.5, clock=lambda: now)
    await failing(circuit, service, 3)
    assert circuit.is_open
    service.down, now = False, 0.6
    assert await circuit.call(service) == "answer"
    open_still: bool = circuit.is_open
    assert not open_still
    assert await circuit.call(service) == "answer"


async def test_failures_that_are_not_in_a_row_do_not_open_it() -> None:
    service = Service()
    circuit = Circuit(failures=2, clock=lambda: 0.0)
    for _ in range(5):
        service.down = True
        await failing(circuit, service, 1)
        service.down = False
        await circuit.call(service)
    assert not circuit.is_open


def test_a_list_is_remembered_for_its_time_and_done_for_longer() -> None:
    recent = RecentLists(ttl_ms=1000, done_ms=3000)
    recent.remember("ada", TOP, {"c2": 9}, now_ms=0)
    assert recent.recall("ada", now_ms=1000) == Remembered(TOP, {"c2": 9})
    assert recent.recall("ada", now_ms=1001) == Remembered(None, {"c2": 9})
    assert recent.recall("ada", now_ms=3001) == recent.recall("bob", now_ms=0) == Remembered(None, {})


def test_whoever_was_not_read_for_long_is_forgotten_when_others_are_read() -> None:
    """Of a learner who was erased nobody asks any more."""
    recent = RecentLists(ttl_ms=1000, done_ms=3000)
    recent.remember("ada", TOP, {"c2": 9}, now_ms=0)
    recent.remember("eve", TOP, {}, now_ms=2000)
    recent.remember("bob", TOP, {}, now_ms=3001)
    assert [*recent._entries] == ["eve", "bob"]


def test_the_learner_read_longest_ago_is_forgotten_first() -> None:
    recent = RecentLists(ttl_ms=1000, done_ms=3000, users=2)
    for user in ("ada", "bob", "ada", "eve"):
        recent.remember(user, TOP, {}, now_ms=0)
    assert [recent.recall(user, now_ms=0).top is not None for user in ("ada", "bob", "eve")] == [True, False, True]


def test_a_learner_of_whom_redis_knows_nothing_any_more_is_forgotten() -> None:
    recent = RecentLists(ttl_ms=1000, done_ms=3000)
    recent.remember("ada", TOP, {}, now_ms=0)
    recent.remember("ada", None, {}, now_ms=1)
    assert recent.recall("ada", now_ms=1) == Remembered(None, {})


def test_the_snapshot_on_disk_is_what_was_saved(tmp_path: Path) -> None:
    latest = LatestTrending(tmp_path / "state")
    latest.update(Trending(5, ("c1", "cx"), (2.0, 1.0)), CATALOGUE)
    latest.save(0)
    again = LatestTrending(tmp_path / "state")
    again.load()
    assert (again.snapshot, again.source) == (latest.snapshot, Source.SNAPSHOT)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["trending.json"]


def test_the_snapshot_is_not_written_more_often_than_needed(tmp_path: Path) -> None:
    latest = LatestTrending(tmp_path)
    file = tmp_path / "trending.json"
    for at_ms, expected in [(0, 0), (29_999, 0), (30_000, 30_000)]:
        latest.update(Trending(at_ms, ("c1",), (1.0,)), CATALOGUE)
        latest.save(at_ms)
        assert f'"computed_at_ms":{expected},' in file.read_text()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"trending": 3}', b"[" * 5000])
def test_a_snapshot_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trending.json").write_bytes(content)
    latest = LatestTrending(tmp_path)
    latest.load()
    assert latest.snapshot is None


def test_a_folder_that_cannot_be_written_costs_only_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    latest = LatestTrending(tmp_path / "file")
    latest.update(Trending(5, ("c1",), (2.0,)), CATALOGUE)
    latest.save(0)
    assert latest.snapshot is not None


def test_without_a_catalogue_the_titles_of_the_snapshot_stay_and_the_file_is_left_alone(tmp_path: Path) -> None:
    latest = LatestTrending(tmp_path)
    latest.update(Trending(5, ("c1",), (2.0,)), CATALOGUE)
    latest.update(Trending(6, ("c2", "c1"), (2.0, 1.0)), {})
    assert latest.snapshot is not None
    assert latest.snapshot.courses == CATALOGUE
    other = LatestTrending(tmp_path / "other")
    other.update(Trending(6, ("c2",), (2.0,)), {})
    other.save(0)
    assert not (tmp_path / "other").exists()


async def test_a_learner_whose_keys_cannot_be_read_is_answered_otherwise_and_opens_no_circuit() -> None:
    class Spoilt(MemoryStore):
        async def listed(self, *_: object) -> NoReturn:
            raise UnreadableState("{s0}:top:ada", "holds a list, not a string")

        async def user_states(self, *_: object) -> NoReturn:
            raise UnreadableState("{s0}:eng:ada", "holds a list, not a hash")

    store = Spoilt()
    await store.establish_topology(Topology(1))
    circuit = Circuit(failures=1)
    learners = Learners(store, circuit, RecentLists(ttl_ms=1000, done_ms=1000), group="g")
    for _ in range(3):
        found = await learners.find("ada", now_ms=5)
        assert (found.top, found.source) == (None, Source.PROCESS_CACHE)
        assert await learners.engagement("ada", Learner(None, {}, Source.CACHED)) is None
    assert not circuit.is_open


async def test_a_state_of_another_deployment_is_served_as_if_redis_were_away(world: Any) -> None:
    log = LogIdentity("interactions", "id-a")
    await world.trend("c5", "c6")
    await world.cache("bob", ["c0", "c1"])
    await world.poll()
    assert await world.store.claim_state(None, StateOwner("another", "g", log))
    await world.poll()
    assert (await world.recommend("bob"))["source"] == "trending"
    assert "redis" in (await world.get("/readyz")).json()["degraded"]
    owner = await world.store.owner()
    assert await world.store.claim_state(owner, StateOwner(world.settings.deployment, "g", log))
    await world.poll()
    assert (await world.recommend("bob"))["source"] == "cached"
    assert "redis" not in (await world.get("/readyz")).json()["degraded"]
