"""The consumer group of the event bus: re-keyed, acknowledged, then committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.ingest.avro import schemas_in
from infra.ingest.bus import BusReading, read_bus
from infra.ingest.sending import Send, sending
from recsys.adapters.inputs import read_staff
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.staff import Role, Staff
from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.events import Interaction, decode
from recsys.kafka.bulk_producer import Record
from recsys.settings import Settings
from tests.doubles.openedx_bus import ADDED, CREATED, SCHEMAS, as_json, avro, enrollment, headers, role

pytestmark = pytest.mark.timeout(150)

NOW_MS = 1_795_000_000_000


class Bus:
    """A topic of the bus, and a group of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.topic, self.group = settings, settings.exposures_topic, settings.consumer_group

    def put(self, event_type: str, value: bytes, *, key: bytes = b"course-v1:DemoX+C1+2025_T1") -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        producer.produce(self.topic, value=value, key=key, headers=list(headers(event_type)))
        assert producer.flush(10) == 0

    def read(
        self, send: Send | None = None, *, staff_file: Path | None = None, keep: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        staff = read_staff(staff_file) if staff_file is not None and staff_file.exists() else Staff()
        reading = BusReading(
            [self.topic],
            self.group,
            schemas_in(SCHEMAS),
            OpenEdxRules(lambda: NOW_MS, staff=staff),
            staff_file=staff_file,
            keep=keep,
            to_end=True,
            session_timeout_s=6,  # the shortest that Kafka allows; the embedded broker waits so long for who has left
        )
        if send is not None:
            return read_bus(self.settings, reading, send, lambda: False).document()
        with sending(self.settings) as real:
            return read_bus(self.settings, reading, real, lambda: False).document()

    def sent(self) -> list[tuple[bytes, int, Interaction]]:
        """Key, partition and event of every record of the interactions topic."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "group.id": "none"})
        found = []
        try:
            topic = self.settings.interactions_topic
            for partition in range(3):
                end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
                consumer.assign([TopicPartition(topic, partition, 0)])
                records = consumer.consume(end, timeout=10) if end else []
                assert len(records) == end
                for record in records:
                    key, value = record.key(), record.value()
                    assert isinstance(key, bytes)
                    assert isinstance(value, bytes)
                    found.append((key, partition, decode(value, arrival_ms=NOW_MS)))
        finally:
            consumer.close()
        return found


@pytest.fixture
def bus(settings: Settings, make_topics: Callable[[Settings, int], None]) -> Bus:
    make_topics(settings, 3)
    return Bus(settings)


def test_events_keyed_by_course_are_sent_keyed_by_learner(bus: Bus) -> None:
    for learner in range(20, 30):
        bus.put(CREATED, avro(CREATED, enrollment(learner)))
        bus.put(CREATED, as_json(enrollment(learner)))
    bus.put("org.openedx.learning.badge.awarded.v1", as_json({"badge": {}}))
    bus.put(CREATED, b"planted.email@example.org")
    found = bus.read()
    assert (found["lines"], found["acknowledged"]) == (22, 20)
    assert found["skipped"] == [{"name": "org.openedx.learning.badge.awarded.v1", "why": "", "lines": 1}]
    assert [row["reason"] for row in found["refused"]] == ["not_json"]
    assert found["refused"][0]["example"].startswith(f"{bus.topic} ")
    sent = bus.sent()
    assert sorted(key for key, _, _ in sent) == sorted(str(learner).encode() for learner in range(20, 30) for _ in "ab")
    assert all(key == event.user_id.encode() for key, _, event in sent)
    assert len({partition for _, partition, _ in sent}) > 1
    assert len({event.event_id for _, _, event in sent}) == 10
    assert "lanted" not in repr((sent, found))


def test_what_was_acknowledged_is_not_read_again(bus: Bus) -> None:
    bus.put(CREATED, as_json(enrollment(20)))
    assert bus.read()["lines"] == 1
    bus.put(CREATED, as_json(enrollment(21)))
    assert bus.read()["lines"] == 1
    assert sorted(key for key, _, _ in bus.sent()) == [b"20", b"21"]


def test_what_was_not_acknowledged_is_read_again(bus: Bus) -> None:
    bus.put(CREATED, as_json(enrollment(20)))

    def fails(records: Iterator[Record]) -> int:
        raise ServiceUnavailable(f"{len(list(records))} records failed")

    kept: list[str] = []
    with pytest.raises(ServiceUnavailable, match="1 records failed"):
        bus.read(fails, keep=lambda: kept.append("early"))
    assert bus.sent() == []
    assert kept == []
    assert bus.read(keep=lambda: kept.append("after"))["acknowledged"] == 1
    assert [key for key, _, _ in bus.sent()] == [b"20"]
    assert kept == ["after"]


def test_roles_are_kept_in_the_staff_file(bus: Bus, tmp_path: Path) -> None:
    staff_file = tmp_path / "staff.csv"
    bus.put(ADDED, avro(ADDED, role(20)))
    bus.put(ADDED, as_json(role(21, course="")))
    assert bus.read(staff_file=staff_file)["acknowledged"] == 0
    assert {Role("20", "DemoX+C1"), Role("21", "*", "DemoX")} <= set(read_staff(staff_file))
    for learner in (20, 21, 22):
        bus.put(CREATED, as_json(enrollment(learner)))
    assert bus.read(staff_file=staff_file)["acknowledged"] == 1
    assert [key for key, _, _ in bus.sent()] == [b"22"]


def test_a_topic_that_is_not_there_is_named(bus: Bus) -> None:
    bus.topic = "nothing-here"
    with pytest.raises(ConfigurationError, match="nothing-here"):
        bus.read(lambda _: 0)


def test_the_command_is_the_reading(bus: Bus, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bus.settings.kafka_bootstrap_servers)
    monkeypatch.setenv("RECSYS_KAFKA_EMBEDDED", str(bus.settings.kafka_embedded))
    monkeypatch.setenv("RECSYS_INTERACTIONS_TOPIC", bus.settings.interactions_topic)
    bus.put(CREATED, as_json(enrollment(20)))
    bus.put(CREATED, as_json(enrollment(21)))
    options = ("--topic", bus.topic, "--group", bus.group, "--schemas", str(SCHEMAS), "--to-end")
    ended = run("ingest", "openedx-bus", *options)
    assert ended.returncode == 0, ended.stderr
    assert "2 events, 2 acknowledged by Kafka" in ended.stdout
    assert "bus_ended" in ended.stderr
    assert "lanted" not in ended.stdout + ended.stderr
