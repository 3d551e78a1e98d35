"""A rebuild while a worker folds and a producer writes: the partition count rises, and every score equals pandas."""

from __future__ import annotations

import json
import threading
from typing import Any

import pandas as pd
import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition

from batch.datasets.simulator import simulate
from recsys.files import write_interactions
from recsys.keys import STATE_FORMAT, KeySpace, Shard
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.engagement_oracle import differences, expected_scores
from tests.doubles.traffic import Traffic

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

AT_MS = 1_800_000_000_000
BEFORE, AFTER = 3, 7


@pytest.fixture(autouse=True)
def _topics(recsys: Recsys) -> None:
    recsys.run("topics", "--partitions", str(BEFORE))


def replay(recsys: Recsys, events: pd.DataFrame, *rate: str) -> None:
    path = recsys.folder / f"{len(events)}-{events.iloc[0]['event_id']}.parquet"
    write_interactions(events, path)
    recsys.run("replay", "--interactions", str(path), *rate)


def caught_up(recsys: Recsys, records: int) -> bool:
    status = json.loads(recsys.run("status", "--json"))
    return bool(status["lag"] == 0 and sum(row["log_end"] for row in status["partitions"]) >= records)


def test_raising_the_partition_count_loses_and_doubles_nothing(recsys: Recsys) -> None:
    events = simulate(learners=800, courses=100, days=40, seed=11).interactions
    third_of = len(events) // 3
    first, second, third = events[:third_of], events[third_of : 2 * third_of], events[2 * third_of :]
    worker = recsys.start_worker()
    replay(recsys, first)
    wait_until(lambda: caught_up(recsys, len(first)), within_s=90, what="the first events applied")
    live = threading.Thread(target=replay, args=(recsys, second, "--rate", "200"), daemon=True)
    live.start()
    rebuilt = json.loads(recsys.run("rebuild", "--partitions", str(AFTER), "--grace", "3", "--json"))
    live.join(60)
    assert (rebuilt["generation"], rebuilt["partitions"]) == (1, AFTER)
    assert rebuilt["records"] >= len(first)
    replay(recsys, third)
    wait_until(lambda: caught_up(recsys, len(events)), within_s=120, what="all events applied under the new count")
    assert differences(expected_scores(events, AT_MS), recsys.scores(AT_MS)) == []
    assert worker.poll() is None  # the same process took over the new topology
    with redis.Redis.from_url(recsys.redis_url) as client:
        topology = json.loads(client.get("recsys:topology"))
        assert topology.pop("owner")["group"] == recsys.extra["RECSYS_CONSUMER_GROUP"]
        assert topology == {"format": STATE_FORMAT, "shards": {"partitions": AFTER, "generation": 1}}
        left = {key.split(b"}")[0] for key in client.scan_iter("recsys:{s?}:*")}
        assert left == set(), "the old shards are dropped"


def test_a_flushed_redis_is_filled_by_a_rebuild_or_by_an_idle_worker(recsys: Recsys) -> None:
    events = simulate(learners=100, courses=50, days=20, seed=12).interactions
    replay(recsys, events)
    with redis.Redis.from_url(recsys.redis_url) as client:
        client.flushdb()
        rebuilt = json.loads(recsys.run("rebuild", "--grace", "0", "--json"))
        assert rebuilt["counts"].keys() <= {"accepted", "unchanged"}
        assert sum(rebuilt["counts"].values()) == len(events)
        assert differences(expected_scores(events, AT_MS), recsys.scores(AT_MS)) == []
        worker = recsys.start_worker()
        wait_until(lambda: "worker_started" in recsys.log_of(worker), within_s=90, what="a worker")
        client.flushdb()
        wait_until(
            lambda: _applied(client) == len(events) and bool(client.exists(KeySpace().topology)),
            within_s=90,
            what="the same state and topology again, though nothing new arrives",
        )
    assert differences(expected_scores(events, AT_MS), recsys.scores(AT_MS)) == []


def test_a_rebuild_passes_no_gap_and_lets_no_stopped_partition_go_on(recsys: Recsys, kafka: str) -> None:
    events = simulate(learners=100, courses=50, days=20, seed=13).interactions
    half = len(events) // 2
    worker = recsys.start_worker()
    replay(recsys, events[:half])
    wait_until(lambda: caught_up(recsys, half), within_s=90, what="the first half applied")
    recsys.stop_workers()
    assert worker.returncode == 0
    replay(recsys, events[half:])
    before = _partition(recsys, 0)
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(recsys.extra["RECSYS_INTERACTIONS_TOPIC"], 0): before["fence"] + 4})
    admin.close()
    recsys.run("rebuild", "--grace", "0")
    assert _partition(recsys, 0)["fence"] == before["fence"]
    recsys.start_worker()
    wait_until(lambda: bool(_partition(recsys, 0)["stopped"]), within_s=90, what="the partition stopped at its gap")
    recsys.stop_workers()
    recsys.run("rebuild", "--grace", "0")
    stopped = _partition(recsys, 0)
    assert (stopped["fence"], "retention deleted 3 records" in stopped["stopped"]) == (before["fence"], True)
    recsys.start_worker()
    recsys.run("resume", "--partition", "0")
    wait_until(lambda: caught_up(recsys, len(events)), within_s=90, what="what is left applied")
    assert _partition(recsys, 0)["counts"]["expired"] == 3


def test_a_partition_stopped_at_its_first_records_stays_stopped_and_makes_no_dead_letters(
    recsys: Recsys, kafka: str
) -> None:
    traffic = Traffic(kafka, recsys.extra["RECSYS_INTERACTIONS_TOPIC"])
    for _ in range(2000):
        traffic.send(b"u", b"junk", partition=1)
    traffic.flush()
    recsys.start_worker()
    wait_until(lambda: bool(_partition(recsys, 1)["stopped"]), within_s=90, what="the partition stopped")
    recsys.stop_workers()
    rebuilt = json.loads(recsys.run("rebuild", "--grace", "0", "--json"))
    after = _partition(recsys, 1)
    assert (rebuilt["records"], rebuilt["counts"], after["counts"]) == (0, {}, {})
    assert "would be dead letters" in after["stopped"]
    assert json.loads(recsys.run("dlq", "list", "--json") or "[]") == []


def _partition(recsys: Recsys, number: int) -> Any:
    return json.loads(recsys.run("status", "--json"))["partitions"][number]


def _applied(client: redis.Redis) -> int:
    """Records of the rebuilt generation."""
    shards = (client.hgetall(KeySpace().counts(Shard(10_000 + partition))) for partition in range(BEFORE))
    return sum(int(value) for counts in shards for value in counts.values())
