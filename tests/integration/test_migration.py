"""State of an earlier release: refused by name, shown, migrated by a rebuild, and dropped when nobody needs it."""

from __future__ import annotations

import json

import pytest
import redis

from batch.datasets.simulator import simulate
from recsys.files import write_interactions
from recsys.keys import KeySpace, Partition, Topology
from tests.doubles.commands import Recsys, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

AT_MS = 1_800_000_000_000
PARTITIONS = 3
KEYS = KeySpace()


def sums_in_place_of_records(client: redis.Redis) -> None:
    """Leaves what an earlier release has in common with this one, and its own in place of the rest."""
    common = [KEYS.topology]
    for partition in range(PARTITIONS):
        shard = Topology(PARTITIONS).shard(Partition(partition))
        common += [KEYS.counts(shard), *(key.decode() for key in client.scan_iter(f"{KEYS.fence(shard, '*')}"))]
        common += [key.decode() for key in client.scan_iter(f"{KEYS.guard(shard, '*')}")]
    gone = [key for key in client.scan_iter() if key.decode() not in common]
    client.unlink(*gone)
    for partition in range(PARTITIONS):
        shard = Topology(PARTITIONS).shard(Partition(partition))
        client.hset(KEYS.engagement(shard, "an earlier learner"), "c", b"8 bytes.")
        client.sadd(KEYS.done(shard, "an earlier learner"), "c")
    said = json.loads(client.get(KEYS.topology) or b"{}")
    client.set(KEYS.topology, json.dumps({**said.pop("shards"), "owner": said["owner"]}))


def test_state_of_an_earlier_release_is_migrated_while_it_serves(recsys: Recsys) -> None:
    recsys.run("topics", "--partitions", str(PARTITIONS))
    events = simulate(learners=200, courses=50, days=20, seed=14).interactions
    path = recsys.folder / "events.parquet"
    write_interactions(events, path)
    worker = recsys.start_worker()
    recsys.run("replay", "--interactions", str(path))

    def lag() -> object:
        status = json.loads(recsys.run("status", "--json"))
        ends = sum(row["log_end"] for row in status["partitions"])
        return status["lag"] if ends >= len(events) else None

    wait_until(lambda: lag() == 0, within_s=90, what="the events applied")
    scores = recsys.scores(AT_MS)
    recsys.stop_workers()
    with redis.Redis.from_url(recsys.redis_url) as client:
        sums_in_place_of_records(client)
        worker = recsys.start_worker()
        wait_until(lambda: worker.poll() is not None, within_s=90, what="the end of a worker")
        assert (worker.returncode, recsys.log_of(worker).count("run `recsys rebuild`")) == (4, 1)
        status = json.loads(recsys.run("status", "--json"))
        assert (status["lag"], status["generation"]) == (0, 0)
        assert "an earlier release folded the state" in status["problem"]

        rebuilt = json.loads(recsys.run("rebuild", "--grace", "0", "--json"))
        assert (rebuilt["generation"], rebuilt["kept"], rebuilt["records"]) == (1, 0, len(events))
        assert recsys.scores(AT_MS) == scores
        assert client.exists(KEYS.engagement(Topology(PARTITIONS).shard(Partition(0)), "an earlier learner"))
        assert json.loads(recsys.run("rebuild", "--drop-unused", "--json")) == {"dropped": [0]}
        assert [*client.scan_iter("recsys:{s?}:*")] == []
        assert recsys.scores(AT_MS) == scores
