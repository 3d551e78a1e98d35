"""Real events through a real Kafka into a real Redis: scores and trending equal pandas, also when workers are killed.

The same run with the fence taken out must not pass, or this file would prove nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import redis

from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.results import ImportOptions
from batch.datasets.simulator import simulate
from recsys.files import write_interactions
from recsys.keys import KeySpace
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.engagement_oracle import differences, expected_scores, expected_trending
from tests.faults.state import read_state

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

PARTITIONS = 6
AT_MS = 1_800_000_000_000
PATIENCE_S = 150
"""Enough for a machine with ten times more work than cores, where a worker alone took 80 s to start."""
DATA = Path(os.environ.get("RECSYS_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def interactions() -> pd.DataFrame:
    """MARS where it is at hand, else as many simulated events, some of them repeated."""
    if (DATA / "mars").is_dir():
        events = import_mars(DATA / "mars", ImportOptions(1_790_000_000_000)).interactions
        assert events is not None
        return events
    events = simulate(learners=500, courses=200, days=60, seed=7).interactions
    return pd.concat([events, events.sample(300, random_state=7)], ignore_index=True)


@pytest.fixture(autouse=True)
def _topics(recsys: Recsys) -> None:
    recsys.run("topics", "--partitions", str(PARTITIONS))


def outcome(recsys: Recsys, interactions: pd.DataFrame, *, kill: bool, mutant: str | None = None) -> list[str]:
    """Replays while two workers fold, and are killed in the middle; returns all that is not as it must be."""
    path = recsys.folder / "interactions.parquet"
    write_interactions(interactions, path)
    workers = [recsys.start_worker(mutant=mutant) for _ in range(2)]
    rate = len(interactions) / 8
    replay = threading.Thread(
        target=recsys.run, args=("replay", "--interactions", str(path), "--rate", str(rate)), daemon=True
    )
    replay.start()

    def applied() -> int:
        return sum(recsys.counts(PARTITIONS).values())

    if kill:
        for victim in range(2):  # one after the other, so that somebody always has to take over
            until = applied() + len(interactions) // 8
            wait_until(lambda: applied() > until, within_s=PATIENCE_S, what="progress")  # noqa: B023
            workers[victim].send_signal(signal.SIGKILL)
            workers[victim].wait()
            recsys.start_worker(mutant=mutant)
    replay.join(PATIENCE_S)
    wait_until(lambda: applied() >= len(interactions), within_s=PATIENCE_S, what=f"{len(interactions)} records applied")
    for worker in recsys.workers:
        if worker.poll() is None:  # else a late one is stopped before Python handles signals
            wait_until(lambda: "worker_started" in recsys.log_of(worker), within_s=PATIENCE_S, what="a start")  # noqa: B023
    recsys.stop_workers()
    counts = recsys.counts(PARTITIONS)
    found = differences(expected_scores(interactions, AT_MS), recsys.scores(AT_MS))
    found += differences(expected_trending(interactions), trending(recsys))
    if sum(counts.values()) != len(interactions) or not set(counts) <= {"accepted", "unchanged"}:
        found.append(f"expected {len(interactions)} records accepted or unchanged, received {counts}")
    return found


def trending(recsys: Recsys) -> dict[str, float]:
    """Course → its stored sum over all shards."""
    totals: Counter[str] = Counter()
    with redis.Redis.from_url(recsys.redis_url) as client:
        for shard in read_state(client, recsys.extra["RECSYS_CONSUMER_GROUP"], PARTITIONS, KeySpace()).values():
            totals.update(shard.trend)
    return {course: total for course, total in totals.items() if total}


@pytest.mark.parametrize("kill", [False, True])
def test_every_score_equals_pandas(recsys: Recsys, interactions: pd.DataFrame, kill: bool) -> None:
    assert outcome(recsys, interactions, kill=kill) == []
    assert [worker.returncode for worker in recsys.workers if worker.returncode != -signal.SIGKILL] == [0, 0]


def test_without_the_fence_the_same_run_fails(recsys: Recsys, interactions: pd.DataFrame) -> None:
    found = outcome(recsys, interactions, kill=True, mutant="no-fence")
    # Folded again an event changes no record. What is no join shows it: the counts, and trending where owners overlap.
    assert [difference for difference in found if "accepted or unchanged" in difference]


def test_a_second_worker_of_the_same_id_is_turned_away(recsys: Recsys) -> None:
    first = recsys.start_worker("--worker-id", "w1")
    wait_until(lambda: "worker_started" in recsys.log_of(first), within_s=PATIENCE_S, what="the first worker")
    second = recsys.start_worker("--worker-id", "w1")
    assert second.wait(PATIENCE_S) == 4
    assert "worker id 'w1' is held by another live worker" in recsys.log_of(second)
    assert first.poll() is None
