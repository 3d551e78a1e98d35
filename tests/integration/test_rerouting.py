"""Records in another partition than their learner's: each counts once, in the learner's shard, and is accounted for."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from recsys.keys import Partition, partition_of
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic, a_worker_on

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PARTITIONS = 6
LEARNERS = [f"learner-{n}" for n in range(60)]
EVENTS_EACH = 10
AT_MS = 1_699_920_000_000  # a day's first instant, from which its clicks count


def event(user: str, number: int) -> bytes:
    fields = {"event_id": f"e{number}", "user_id": user, "course_id": f"c{number}", "type": "click", "timestamp": AT_MS}
    return json.dumps(fields).encode()


@pytest.mark.parametrize("kind", ["librdkafka's default partitioner", "null key", "another key"])
def test_every_event_counts_once_in_its_learners_shard_and_rerouted_says_how_many(
    recsys: Recsys, kafka: str, kind: str
) -> None:
    keys = {"null key": None, "another key": b"somebody-else"}
    traffic = Traffic(kafka, recsys.extra["RECSYS_INTERACTIONS_TOPIC"], partitioner="consistent_random")
    sent = [(user, number) for number in range(EVENTS_EACH) for user in LEARNERS]
    with a_worker_on(recsys, PARTITIONS):
        astray = 0
        for user, number in sent:
            traffic.send(keys.get(kind, user.encode()), event(user, number))
            traffic.flush()
            astray += traffic.partitions[-1] != partition_of(user, PARTITIONS)
        assert astray > len(sent) // 2, "so many would be in place by chance"
        wait_until(lambda: recsys.counts(PARTITIONS).get("accepted", 0) >= len(sent), within_s=150, what="all events")
        scores = recsys.scores(AT_MS)
        assert scores == pytest.approx({(user, f"c{number}"): 5.0 for user, number in sent})
        found = json.loads(recsys.run("status", "--json"))
    assert found["counts"] == {"accepted": len(sent), "rerouted": astray}
    assert found["lag"] == 0
    target = Counter(partition_of(user, PARTITIONS) for user in LEARNERS)
    accepted = {row["partition"]: row["counts"].get("accepted", 0) for row in found["partitions"]}
    assert accepted == {partition: EVENTS_EACH * target[Partition(partition)] for partition in range(PARTITIONS)}
