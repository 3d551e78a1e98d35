"""What doctor finds in Redis: one fault each, its level and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from infra.devtools.local_redis import LocalRedis
from infra.operator.doctor.finding import Finding, Level
from infra.operator.doctor.redis import redis_findings
from recsys.keys import STATE_FORMAT, KeySpace, Topology
from recsys.online_store import ModelPointer
from recsys.online_store.redis.store import RedisStore
from recsys.owner import LogIdentity, StateOwner
from recsys.settings import Settings, load_settings

LOG = LogIdentity("interactions", "id-a", "cluster-1")


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return load_settings(redis_url=redis_url, models_dir=tmp_path)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(settings.redis)
    own = StateOwner(settings.deployment, settings.consumer_group, LOG)
    await opened.establish_topology(Topology(2), own)
    yield opened
    await opened.close()


async def found(settings: Settings, identity: LogIdentity | None = LOG) -> dict[str, Finding]:
    return {finding.check: finding for finding in await redis_findings(settings, identity)}


async def test_a_sound_redis(settings: Settings, store: RedisStore) -> None:
    assert await store.model() is None
    checks = await found(settings)
    levels = {check: finding.level for check, finding in checks.items() if finding.level is not Level.OK}
    assert levels == {"model": Level.WARNING}  # none is published yet
    assert set(checks) == {
        *("redis", "redis eviction", "redis persistence", "redis rights", "state", "model", "key prefix"),
    }


async def test_a_redis_that_is_away() -> None:
    (finding,) = await redis_findings(load_settings(redis_url="redis://127.0.0.1:1/0"), None)
    assert (finding.check, finding.level) == ("redis", Level.PROBLEM)


@pytest.mark.usefixtures("store")
async def test_a_topic_made_anew_and_another_deployment(settings: Settings) -> None:
    other = (await found(settings, replace(LOG, topic_id="id-b")))["state"]
    assert other.level is Level.PROBLEM
    assert "id-a" in other.found
    assert "id-b" in other.found
    live = settings.model_copy(update={"deployment": "live"})
    assert "deployment 'recsys'" in (await found(live))["state"].found


@pytest.mark.usefixtures("store")
async def test_a_published_model_whose_folder_is_not_there(settings: Settings, store: RedisStore) -> None:
    await store.restore_model(ModelPointer("v1", "/nowhere/v1", 1))
    finding = (await found(settings))["model"]
    assert (finding.level, "v1 is published, and there is no folder" in finding.found) == (Level.PROBLEM, True)


@pytest.mark.usefixtures("store")
async def test_keys_of_an_earlier_release(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set("topology", "another application's")
        assert (await found(settings))["key prefix"].level is Level.OK
        client.set("topology", '{"partitions":6,"generation":0}')
    finding = (await found(settings))["key prefix"]
    assert finding.level is Level.WARNING
    assert "unlink topology trending model:current model:previous" in finding.remedy


async def test_what_redis_does_not_keep_and_does_not_allow(tmp_path: Path) -> None:
    server = LocalRedis(tmp_path / "redis")
    server.options |= {"maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    server.start()
    try:
        settings = load_settings(redis_url=server.url, models_dir=tmp_path)
        with redis.Redis.from_url(server.url) as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-hincrby")
            checks = await found(settings)
            admin.execute_command("ACL", "SETUSER", "default", "+hincrby")
            assert admin.dbsize() == 0, "the self-test leaves nothing"
        assert (checks["redis eviction"].level, checks["redis persistence"].level) == (Level.PROBLEM, Level.WARNING)
        assert checks["redis rights"].level is Level.PROBLEM
        assert "hincrby" in checks["redis rights"].found.lower()
        allowed = await found(settings.model_copy(update={"redis_allow_eviction": True}))
        assert allowed["redis eviction"].level is Level.WARNING
    finally:
        server.close()


@pytest.mark.usefixtures("store")
async def test_a_topology_that_cannot_be_read(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(KeySpace().topology, "junk")
    checks = await found(settings)
    assert (checks["state"].level, checks["redis rights"].level) == (Level.PROBLEM, Level.OK)
    assert "`recsys rebuild`" in checks["state"].found


@pytest.mark.usefixtures("store")
async def test_state_of_an_earlier_release(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(KeySpace().topology, '{"partitions":6,"generation":1}')
    state = (await found(settings))["state"]
    assert state.level is Level.PROBLEM
    told = f"an earlier release folded the state (format 1; this release folds {STATE_FORMAT}); run `recsys rebuild`"
    assert told in state.found
