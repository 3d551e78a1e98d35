"""A producer with transactions: what it aborts never happened, and its markers are neither lag nor lost records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from recsys.keys import partition_of
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic, a_worker_on

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

PARTITIONS = 2
LEARNERS = [f"learner-{n}" for n in range(10)]
AT_MS = 1_700_000_000_000


def event(user: str, number: int, **more: str) -> bytes:
    fields = {"event_id": f"e{number}", "user_id": user, "course_id": "c", "type": "click", "timestamp": AT_MS + number}
    return json.dumps({**fields, **more}).encode()


def transaction(producer: Producer, topic: str, number: int, *, times: int = 1, **more: str) -> None:
    """Begins one with an event of every learner, acknowledged by the broker and not ended."""
    producer.begin_transaction()
    for user in LEARNERS * times:
        producer.produce(topic, event(user, number, **more), user.encode(), partition_of(user, PARTITIONS))
    producer.flush()


def status(recsys: Recsys) -> Any:
    return json.loads(recsys.run("status", "--json"))


def test_committed_events_count_once_and_markers_are_passed_before_retention_hides_them(
    recsys: Recsys, kafka: str
) -> None:
    topic = recsys.extra["RECSYS_INTERACTIONS_TOPIC"]
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    with a_worker_on(recsys, PARTITIONS) as worker:
        producer.init_transactions()
        for number in range(3):
            transaction(producer, topic, number)
            if number == 1:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
        wait_until(lambda: status(recsys)["lag"] == 0, within_s=60, what="fences behind the last markers")
        found = status(recsys)
        assert found["counts"] == {"accepted": 2 * len(LEARNERS)}
        assert "gap" not in recsys.log_of(worker)
        assert {row["fence"] + 1 for row in found["partitions"]} == {len(LEARNERS) // 2 * 3 + 3}
        scores = recsys.scores(AT_MS)
        rebuilt = json.loads(recsys.run("rebuild", "--grace", "0", "--json"))
        assert (rebuilt["counts"], recsys.scores(AT_MS)) == ({"accepted": 2 * len(LEARNERS)}, scores)
    # The log is empty now, and what it held last were markers.
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(topic, partition): -1 for partition in range(PARTITIONS)})
    admin.close()
    with a_worker_on(recsys, PARTITIONS):
        traffic = Traffic(kafka, topic, partitioner="murmur2_random")
        for user in LEARNERS:
            traffic.send(user.encode(), event(user, 9))
        traffic.flush()
        wait_until(lambda: status(recsys)["lag"] == 0, within_s=60, what="the next events applied")
        found = status(recsys)
    assert found["counts"] == {"accepted": 3 * len(LEARNERS)}
    assert [row["stopped"] for row in found["partitions"]] == [None] * PARTITIONS


def test_more_aborted_events_than_a_fetch_holds_are_passed_without_reading_again(recsys: Recsys, kafka: str) -> None:
    topic = recsys.extra["RECSYS_INTERACTIONS_TOPIC"]
    recsys.run("topics", "--partitions", str(PARTITIONS))
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "batch.num.messages": 5})
    producer.init_transactions()
    for number in range(20):
        if number % 10 == 5:  # some 3 MiB a partition, three fetches
            transaction(producer, topic, number, times=60, padding="x" * 10_000)
            producer.abort_transaction()
        else:
            transaction(producer, topic, number)
            producer.commit_transaction()
    with a_worker_on(recsys, PARTITIONS) as worker:
        wait_until(lambda: status(recsys)["lag"] == 0, within_s=60, what="fences behind the last markers")
        assert status(recsys)["counts"] == {"accepted": 18 * len(LEARNERS)}
        assert "gap" not in recsys.log_of(worker)


def test_an_open_transaction_holds_its_events_back_and_ends_nobody(recsys: Recsys, kafka: str) -> None:
    topic = recsys.extra["RECSYS_INTERACTIONS_TOPIC"]
    recsys.extra["RECSYS_WORKER_STALL_SECONDS"] = "6"
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    with a_worker_on(recsys, PARTITIONS) as worker:
        producer.init_transactions()
        transaction(producer, topic, 0)
        traffic = Traffic(kafka, topic, partitioner="murmur2_random")
        traffic.send(LEARNERS[0].encode(), event(LEARNERS[0], 1))
        traffic.flush()
        with pytest.raises(AssertionError, match="an event behind"):
            wait_until(lambda: bool(recsys.counts(PARTITIONS)), within_s=12, what="an event behind the open one")
        assert worker.poll() is None
        producer.commit_transaction()
        wait_until(lambda: status(recsys)["lag"] == 0, within_s=60, what="all events")
        assert status(recsys)["counts"] == {"accepted": len(LEARNERS) + 1}
