"""T25: models are published and rolled back while workers run, learners click and the API answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.keys import KeySpace
from recsys.model.bundle import write_bundle
from recsys.model.publishing import drop_outdated_lists, publish_bundle, settle_seconds
from recsys.online_store import ModelPointer
from recsys.online_store.packing import unpack_top
from recsys.online_store.redis.store import RedisStore
from tests.faults.cases.kills import RECOVERY_S, start
from tests.faults.findings import Findings, case, conclude
from tests.faults.serving import KEPT, Api, draw_draft, publish_model
from tests.faults.stage import Stage

FOLLOWED_S = 10.0
"""From a publish or a rollback on: then there is no list and no answer of another model."""

WATCHED_S = 3.0
LISTS_BEHIND = 12
LISTS = f"{KeySpace().prefix}{{s*}}:top:*"
NO_LIST_CHECK = "no-list-check"


@case("T25", "publish and rollback while workers run, learners click and the API answers")
def publications(stage: Stage) -> Findings:
    findings = Findings()
    outdated: Counter[str] = Counter()
    publish_model(stage)
    start(stage)
    with Api(stage) as api:
        stage.wait_until(lambda: bool(list_versions(stage)), within_s=RECOVERY_S, what="cached lists")
        for turn in range(stage.times(3, least=1)):
            for name, publish in PUBLISHERS.items():
                moved = publish(stage, 10 * turn + 1)
                outdated[name] += _judge(stage, api, findings, name, moved.version)
                moved.finish()
        findings.problems += api.problems()
    conclude(stage, findings)
    findings.verdict.wrong += sum(outdated.values())
    for name, count in (+outdated).items():
        findings.verdict.differs(f"{count} lists or answers of another model {FOLLOWED_S:g} s after a {name}")
    return findings


@dataclass(frozen=True, slots=True)
class Moved:
    """A publication whose pointer has just moved.

    Attributes:
        version: The model that is published now.
        finish: Waits for what the publisher does afterwards.
    """

    version: str
    finish: Callable[[], object] = lambda: None


def _judge(stage: Stage, api: Api, findings: Findings, name: str, version: str) -> int:
    """Waits as long as following may take, then counts the lists and answers of another model."""
    api.forget()
    began, followed_s = time.monotonic(), 0.0
    while time.monotonic() - began < FOLLOWED_S:
        seen_before = _others(list_versions(stage), version) + _others(api.versions, version)
        api.forget()
        stage.wait(0.5)
        if seen_before:
            followed_s = time.monotonic() - began
    api.forget()
    stage.wait(WATCHED_S)
    found = list_versions(stage)
    findings.expect(sum(api.versions.values()) > 0, f"no answers after a {name}")
    findings.expect(found[version] > 0, f"no lists of {version} {FOLLOWED_S:g} s after a {name}")
    longest = max(followed_s, findings.figures.get(name, 0.0))
    findings.figures |= {name: round(longest, 1), "lists": sum(found.values())}
    return _others(found, version) + _others(api.versions, version)


def _others(versions: Counter[str], version: str) -> int:
    return sum(count for each, count in versions.items() if each != version)


def list_versions(stage: Stage) -> Counter[str]:
    """Version → cached lists of it in Redis."""
    names: Any = list(stage.client.scan_iter(LISTS, count=5000))
    values: Any = stage.client.mget(names) if names else []
    return Counter(unpack_top(value).model_version for value in values if value is not None)


def _bundle(stage: Stage, seed: int) -> Path:
    now_ms = time.time_ns() // 1_000_000
    return write_bundle(stage.folder / "models", draw_draft(seed, created_at_ms=now_ms))


def _publish(stage: Stage, seed: int) -> Moved:
    """As `recsys retrain` publishes."""
    path = _bundle(stage, seed)

    async def publish(store: RedisStore) -> None:
        now_ms = time.time_ns() // 1_000_000
        await publish_bundle(store, path, replacing=await store.model(), at_ms=now_ms, keep=KEPT)

    async def drop(store: RedisStore) -> None:
        await drop_outdated_lists(store, settle_s=settle_seconds(1.0))

    on_redis(stage, publish)
    rest = threading.Thread(target=on_redis, args=(stage, drop))
    rest.start()
    return Moved(path.name, rest.join)


def _publish_and_die(stage: Stage, seed: int) -> Moved:
    """The pointer moves, and the publisher is killed before it does anything more."""
    path = _bundle(stage, seed + 1)

    async def publish(store: RedisStore) -> None:
        now_ms = time.time_ns() // 1_000_000
        moved = await store.publish_model(ModelPointer(path.name, str(path), now_ms), replacing=await store.model())
        assert moved

    on_redis(stage, publish)
    return Moved(path.name)


def _roll_back(stage: Stage, _seed: int) -> Moved:
    before = version_at(stage, KeySpace().model_previous)
    command = [sys.executable, "-m", "recsys.cli", "models", "rollback", "--json"]
    process = subprocess.Popen(command, env=stage.environment(), stdout=subprocess.PIPE, text=True)

    def finish() -> None:
        said, _ = process.communicate(timeout=RECOVERY_S)
        assert json.loads(said)["published"] == before

    stage.wait_until(
        lambda: version_at(stage, KeySpace().model_current) == before,
        within_s=RECOVERY_S,
        what="a pointer that moved back",
    )
    return Moved(before, finish)


def _take_back(stage: Stage, seed: int) -> Moved:
    """An increment has lists of its own beside those that it serves on, and is rolled back."""
    path, before = _bundle(stage, seed + 2), version_at(stage, KeySpace().model_current)

    async def publish(store: RedisStore) -> None:
        now_ms, current = time.time_ns() // 1_000_000, await store.model()
        assert current is not None
        line = current.line_after(LISTS_BEHIND)
        await publish_bundle(store, path, replacing=current, at_ms=now_ms, keep=KEPT, line=line)

    on_redis(stage, publish)
    stage.wait(FOLLOWED_S / 2)  # any other publication would have deleted the lists of before by now
    found = list_versions(stage)
    assert min(found[path.name], found[before]) > 0, found
    return _roll_back(stage, seed)


def version_at(stage: Stage, key: str) -> str:
    """The version that a pointer in Redis names."""
    value: Any = stage.client.get(key)
    return str(json.loads(value)["version"])


def on_redis(stage: Stage, work: Callable[[RedisStore], Awaitable[None]]) -> None:
    """Runs work on a store of its own, to its end."""

    async def run() -> None:
        store = RedisStore.for_stream(stage.redis.url)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


PUBLISHERS: dict[str, Callable[[Stage, int], Moved]] = {
    "publisher killed": _publish_and_die,
    "rollback": _roll_back,
    "publish": _publish,
    "rolled-back increment": _take_back,
}
"""Name → publishes another model."""
