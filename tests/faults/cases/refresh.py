"""T26: learners click in every partition all the time, and no list waits long for its refresh, on any partition."""

from __future__ import annotations

import time
from typing import Any

import redis

from recsys.keys import KeySpace, Partition, Shard, Topology
from tests.faults.findings import Findings, case, conclude
from tests.faults.serving import publish_model
from tests.faults.stage import PARTITIONS, Stage

KEYS = KeySpace()

CLICKS_PER_S = 500.0
MINUTE_S = 60.0
OLDEST_S = 2.0
LISTS_S = 60.0
LOOK_EVERY_S = 0.1
WORKERS = 2


@case("T26", "500 clicks/s over all partitions for a minute: the oldest list waiting")
def clicks_on_all_partitions(stage: Stage) -> Findings:
    findings = Findings()
    publish_model(stage)
    for _ in range(WORKERS):
        stage.fleet.add()
    stage.start_load(rate=CLICKS_PER_S, events=int(CLICKS_PER_S * MINUTE_S), users=2000, poison=0.0)
    stage.wait_until(stage.fleet.started, within_s=90.0, what="every worker in the group")
    stage.recover(30.0)
    stage.wait_until(
        lambda: max(_ages(stage).values()) < OLDEST_S,
        within_s=LISTS_S,
        what="lists of who clicked while workers started",
    )
    oldest = _watch(stage, max(10.0, MINUTE_S * stage.scale))
    findings.figures["oldest_s"] = {partition: round(age, 2) for partition, age in oldest.items()}
    findings.recovered(max(oldest.values()), OLDEST_S)
    lists = _lists(stage)
    findings.figures["lists"] = lists
    findings.expect(all(lists.values()), f"no cached list was written on some partitions: {lists}")
    return conclude(stage, findings)


def _watch(stage: Stage, seconds: float) -> dict[int, float]:
    """Partition → the highest age seen of its oldest list waiting, in seconds."""
    highest, until = dict.fromkeys(range(PARTITIONS), 0.0), time.monotonic() + seconds
    while time.monotonic() < until:
        stage.wait(LOOK_EVERY_S)
        highest = {partition: max(highest[partition], age) for partition, age in _ages(stage).items()}
    return highest


def _ages(stage: Stage) -> dict[int, float]:
    """Partition → seconds since the event was produced for which the longest-waiting learner's list is out of date."""
    assert stage.load is not None
    pipeline = stage.client.pipeline(transaction=False)
    for shard in _shards():
        pipeline.zrange(KEYS.dirty(shard), 0, 0, withscores=True)
    oldest: list[Any] = pipeline.execute()
    return {
        partition: stage.load.lag_s(partition, int(marks[0][1]) - 1) if marks else 0.0
        for partition, marks in enumerate(oldest)
    }


def _lists(stage: Stage) -> dict[int, int]:
    """Partition → cached lists."""
    client: redis.Redis = stage.client
    return {
        int(shard): sum(1 for _ in client.scan_iter(KEYS.top(shard, "*").replace("{", r"\{"), count=5000))
        for shard in _shards()
    }


def _shards() -> list[Shard]:
    return [Topology(PARTITIONS).shard(Partition(partition)) for partition in range(PARTITIONS)]
