"""`recsys engagement` on Redis: one learner course by course, all learners as scores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.keys import Partition, Shard, Topology
from recsys.online_store.redis.store import RedisStore
from stream.engagement.commands import engagement
from stream.engagement.fold import decode_records, fold
from stream.engagement.steps import read_state
from tests.doubles.stream import RULES, FakeRecord, event

SHARD = Shard(0)
Run = Callable[..., str]


def _log() -> list[FakeRecord]:
    acts = [
        {"kind": "enroll", "course": "sql"},
        {"kind": "progress", "course": "sql", "value": 0.5},
        {"kind": "unenroll", "course": "art"},
        {"user": "v", "kind": "click", "course": "sql"},
        {"user": "w", "kind": "erase", "course": ""},
        {"user": "x", "kind": "merge", "course": "", "into": "u"},
    ]
    return [event(n, at=LANDMARK_MS + n * MS_PER_DAY, **act) for n, act in enumerate(acts)]  # type: ignore[arg-type]  # each is of its type


@pytest.fixture
async def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on a Redis that holds what the log says."""
    store = RedisStore.for_stream(redis_url)
    await store.establish_topology(Topology(1))
    batch = decode_records(_log(), Partition(0), RULES)
    state = await read_state(store, SHARD, "g", batch, RULES)
    assert state is not None
    assert await store.commit(SHARD, "g", None, 5, fold(batch, state, RULES))
    await store.close()
    monkeypatch.setenv("REDIS_URL", redis_url)
    return lambda *arguments: (
        CliRunner(env={"COLUMNS": "200"}).invoke(engagement, arguments, catch_exceptions=False).stdout
    )


async def _in_thread(run: Run, *arguments: str) -> str:
    return await asyncio.to_thread(run, *arguments)


async def test_a_learner_is_shown_course_by_course(run: Run) -> None:
    said = await _in_thread(run, "u", "--at", str(LANDMARK_MS))
    assert "enroll 2020-01-01" in said
    assert "50 % since 2020-01-02" in said
    assert "unenroll 2020-01-03" in said
    assert "2020-02-02" in said  # given back
    rows = [json.loads(line) for line in (await _in_thread(run, "u", "--json", "--at", str(LANDMARK_MS))).splitlines()]
    assert [(row["course_id"], round(row["score"], 3)) for row in rows] == [("sql", 14.093), ("art", -10.473)]


async def test_erased_merged_and_unknown_learners_are_said_to_be_so(run: Run) -> None:
    assert "erased: what came up to 2020-01-05" in await _in_thread(run, "w")
    assert "merged into 'u'" in await _in_thread(run, "x")
    assert await _in_thread(run, "nobody") == "learner 'nobody' has no records\n"


async def test_without_a_learner_all_scores_are_printed(run: Run) -> None:
    lines = (await _in_thread(run, "--json", "--at", str(LANDMARK_MS))).splitlines()
    assert sorted((row["user_id"], row["course_id"]) for row in map(json.loads, lines)) == [
        ("u", "art"),
        ("u", "sql"),
        ("v", "sql"),
    ]
