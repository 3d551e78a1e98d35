"""One of two brokers is away: its partitions have no leader and wait, and nobody waits for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faust.types.tuples import TP
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from infra.devtools.kafka_jars import missing_programs
from infra.devtools.local_kafka import LocalKafka
from recsys.keys import Partition, partition_of
from recsys.settings import Settings
from stream.transport.broker_probe import reachable_partitions
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed"),
    pytest.mark.timeout(300),
]

PARTITIONS = 6
GROUP = Settings().consumer_group
STAYS, LEAVES = range(3), range(3, 6)
"""Partitions by what their broker does."""

LEARNERS = {partition_of(f"u{n}", PARTITIONS): f"u{n}" for n in range(60)}
AWAY_S = 15.0
"""Longer than a question to a broker that does not answer may last."""

PROMPT_S = 8.0
"""For an event that takes a tenth of a second on a machine with nothing else to do; without the rules it is 30 s."""


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
        replicas = {number: [(first if number in STAYS else second).node_id] for number in range(PARTITIONS)}
        arrival = {"message.timestamp.type": "LogAppendTime"}
        admin.create_topics([NewTopic(topic, -1, -1, replica_assignments=replicas, topic_configs=arrival)])
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
            fields = {
                "event_id": f"e{self.sent}",
                "user_id": LEARNERS[Partition(partition)],
                "course_id": "c",
                "type": "click",
            }
            value = json.dumps({**fields, "timestamp": 1_700_000_000_000 + self.sent}).encode()
            self.traffic.send(LEARNERS[Partition(partition)].encode(), value, partition=partition)
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
    with ExitStack() as stack:
        first, second = stack.enter_context(two_brokers(topic))
        recsys = Recsys(first.bootstrap_servers, redis_url, tmp_path, {"RECSYS_WORKER_STALL_SECONDS": "10"})
        stack.callback(recsys.stop_workers)
        scene = Scene(recsys, topic)
        worker = scene.start_worker()
        scene.send(range(PARTITIONS), within_s=60)
        assert second.pid is not None
        try:
            os.kill(second.pid, signal.SIGSTOP)  # its connections stay, and nothing comes back
            _go_on_without(scene, worker)
        finally:
            os.kill(second.pid, signal.SIGCONT)
        scene.send(range(PARTITIONS), within_s=60)
        wait_until(lambda: _told(recsys, worker, "partition_reachable_again") == set(LEAVES), within_s=60, what="news")
        try:
            second.kill()
            assert _reachable_by_others(first, topic) == set(STAYS)  # it leads for some seconds more
            _go_on_without(scene, worker)
            said = recsys.run("status")
            assert (said.count("has no broker that answers"), "lag ? records" in said) == (3, True)
            assert _reachable_by_others(first, topic) == set(STAYS)
            recsys.stop_workers()
            assert worker.returncode == 0
            worker = scene.start_worker()
            scene.send(STAYS, within_s=60)
        finally:
            second.start()
        scene.send(range(PARTITIONS), within_s=60)
        assert _reachable_by_others(first, topic) == set(range(PARTITIONS))
        recsys.stop_workers()
        assert worker.returncode == 0, recsys.log_of(worker)
        assert [(row["lag"], row["stopped"]) for row in scene.rows()] == [(0, None)] * PARTITIONS


def _go_on_without(scene: Scene, worker: Any) -> None:
    """Status says for which partitions nobody answers, the others go on, and the watchdog ends nobody for it."""
    said_before = len(scene.recsys.log_of(worker))
    wait_until(
        lambda: [row["log_end"] is None for row in scene.rows()] == [n in LEAVES for n in range(PARTITIONS)],
        within_s=90,
        what="a status that says for which partitions no broker answers",
    )
    until = time.monotonic() + AWAY_S
    while time.monotonic() < until:
        scene.send(STAYS, within_s=PROMPT_S)
    assert worker.poll() is None, scene.recsys.log_of(worker)
    assert _told(scene.recsys, worker, "partition_unreachable", since=said_before) == set(LEAVES)


def _reachable_by_others(kafka: LocalKafka, topic: str) -> set[int]:
    """The broker probe's answer about every partition."""
    partitions = [TP(topic, number) for number in range(PARTITIONS)]
    told = asyncio.run(reachable_partitions({"bootstrap_servers": kafka.bootstrap_servers}, GROUP, partitions))
    return {partition.partition for partition in told}


def _told(recsys: Recsys, worker: Any, event: str, *, since: int = 0) -> set[int]:
    """The partitions that a worker said it of, from a character of its log on."""
    lines = recsys.log_of(worker)[since:].splitlines()
    return {int(line.rsplit("partition=", 1)[1]) for line in lines if event in line}
