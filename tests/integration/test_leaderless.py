"""One of two brokers is away: its partitions have no leader and wait, and nobody waits for them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faust.types.tuples import TP
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from infra.local_kafka import LocalKafka, missing_programs
from recsys.keys import partition_of
from stream.app import ConsumerLog
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed"),
    pytest.mark.timeout(300),
]

PARTITIONS = 6
STAYS, LEAVES = range(3), range(3, 6)
"""Partitions by what their broker does."""

LEARNERS = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(60)}
AWAY_S = 15.0
"""Longer than a question to a broker that does not answer may last."""

PROMPT_S = 5.0
"""For an event that takes a tenth of a second on a machine with nothing else to do."""


@contextmanager
def two_brokers(topic: str) -> Iterator[tuple[LocalKafka, LocalKafka]]:
    """The first has the group's coordinator and half of the topic, the second the other half, without replicas."""
    with ExitStack() as stack:
        first = stack.enter_context(LocalKafka())
        asking = KafkaConsumer(bootstrap_servers=first.bootstrap_servers, group_id="any", enable_auto_commit=False)
        asking.committed(TopicPartition("any", 0))  # makes the topic of the offsets, while there is one broker
        asking.close()
        second = stack.enter_context(LocalKafka(joins=first))
        admin = KafkaAdminClient(bootstrap_servers=first.bootstrap_servers)
        homes = {number: [(first if number in STAYS else second).node_id] for number in range(PARTITIONS)}
        arrival = {"message.timestamp.type": "LogAppendTime"}
        admin.create_topics([NewTopic(topic, -1, -1, replica_assignments=homes, topic_configs=arrival)])
        admin.close()
        yield first, second


class Scene:
    """A worker's partitions, one learner each."""

    def __init__(self, recsys: Recsys, topic: str) -> None:
        self.recsys, self.sent = recsys, 0
        self.traffic = Traffic(recsys.kafka, topic)
        recsys.run("topics", "--partitions", str(PARTITIONS))

    def send(self, partitions: range, *, within_s: float) -> None:
        """An event to each of the partitions, acknowledged; all are applied in time."""
        before = self.applied()
        for partition in partitions:
            self.sent += 1
            fields = {"event_id": f"e{self.sent}", "user_id": LEARNERS[partition], "course_id": "c", "type": "click"}
            value = json.dumps({**fields, "timestamp": 1_700_000_000_000}).encode()
            self.traffic.send(LEARNERS[partition].encode(), value, partition=partition)
        self.traffic.flush()
        wait_until(lambda: self.applied() == before + len(partitions), within_s=within_s, what=f"{partitions} applied")

    def applied(self) -> int:
        counts = self.recsys.counts(PARTITIONS)
        assert set(counts) <= {"accepted"}
        return sum(counts.values())

    def rows(self) -> list[dict[str, Any]]:
        return list(json.loads(self.recsys.run("status", "--json"))["partitions"])

    def start_worker(self) -> Any:
        worker = self.recsys.start_worker("--worker-id", "w1")
        wait_until(lambda: "worker_started" in self.recsys.log_of(worker), within_s=90, what="a worker")
        return worker


def test_partitions_without_a_leader_wait_alone(redis_url: str, tmp_path: Path) -> None:
    topic = "interactions"
    with two_brokers(topic) as (first, second):
        recsys = Recsys(first.bootstrap_servers, redis_url, tmp_path)
        scene = Scene(recsys, topic)
        worker = scene.start_worker()
        scene.send(range(PARTITIONS), within_s=60)
        try:
            second.kill()
            wait_until(
                lambda: [row["log_end"] is None for row in scene.rows()] == [n in LEAVES for n in range(PARTITIONS)],
                within_s=30,
                what="a status that says for which partitions no broker answers",
            )
            said = recsys.run("status")
            assert (said.count("has no broker that answers"), "lag ? records" in said) == (3, True)
            until = time.monotonic() + AWAY_S
            while time.monotonic() < until:
                scene.send(STAYS, within_s=PROMPT_S)
            assert _told(recsys.log_of(worker), "partition_unreachable") == set(LEAVES)
            assert _others_are_answered(first, topic) == [n in STAYS for n in range(PARTITIONS)]
            recsys.stop_workers()
            assert worker.returncode == 0
            worker = scene.start_worker()
            scene.send(STAYS, within_s=60)
        finally:
            second.start()
        scene.send(range(PARTITIONS), within_s=60)
        recsys.stop_workers()
        assert worker.returncode == 0, recsys.log_of(worker)
        assert [(row["lag"], row["stopped"]) for row in scene.rows()] == [(0, None)] * PARTITIONS


def _others_are_answered(kafka: LocalKafka, topic: str) -> list[bool]:
    """The watchdog's second opinion, of every partition."""
    unused: Any = None
    logs = [ConsumerLog(unused, TP(topic, number), kafka.bootstrap_servers) for number in range(PARTITIONS)]

    async def ask() -> list[bool]:
        return await asyncio.gather(*(log.answers_others() for log in logs))

    return asyncio.run(ask())


def _told(log: str, event: str) -> set[int]:
    """The partitions that a worker said it of."""
    return {int(line.rsplit("partition=", 1)[1]) for line in log.splitlines() if event in line}
