"""The shards of generations that are not in use stay until somebody says so, and none in use goes with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from batch.commands import retrain
from recsys.errors import ConfigurationError, OutdatedState
from recsys.keys import Partition, Topology
from recsys.online_store import Effects
from recsys.online_store.redis.store import RedisStore
from recsys.settings import load_settings
from stream.rebuild.command import _drop_unused

GROUP = "g"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(redis_url)
    yield opened
    await opened.close()


async def test_only_generations_that_are_not_in_use_are_dropped(redis_url: str, store: RedisStore) -> None:
    settings = load_settings(redis_url=redis_url)
    with pytest.raises(ConfigurationError, match="no topology"):
        await _drop_unused(settings)
    for generation in (0, 2, 3):
        for partition in (Partition(0), Partition(1)):
            shard = Topology(2, generation).shard(partition)
            assert await store.commit(shard, GROUP, None, generation, Effects())
    await store.establish_topology(Topology(2, 2))
    assert await _drop_unused(settings) == [0, 3]
    assert await store.generations() == [2]
    assert await store.fence(Topology(2, 2).shard(Partition(1)), GROUP) == 2


def test_a_retrain_is_told_before_it_trains_that_the_state_is_an_earlier_release_s(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("recsys:topology", b'{"partitions":2,"generation":0}')
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path))
    files = ["--interactions", str(tmp_path / "none.csv"), "--courses", str(tmp_path / "none.csv")]
    with pytest.raises(OutdatedState, match="run `recsys rebuild`"):
        CliRunner().invoke(retrain, files, catch_exceptions=False)
