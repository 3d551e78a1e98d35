"""Replay on the embedded broker: what arrives, where, and what is said when it cannot."""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from batch.datasets.simulator import simulate
from infra.devtools.embedded import EmbeddedKafka
from infra.operator.replay import command, event_records
from recsys.catalog import decode_course
from recsys.errors import InputError, ServiceUnavailable
from recsys.events import decode
from recsys.files import courses_in, write_courses, write_interactions
from recsys.kafka.bulk_producer import Deliveries, Record, produce
from recsys.keys import partition_of
from recsys.settings.kafka import EMBEDDED_API_VERSION

PARTITIONS = 6
FAR_FUTURE_MS = 4_000_000_000_000


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"interactions": PARTITIONS, "courses": 1}) as kafka:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
        monkeypatch.setenv("RECSYS_KAFKA_EMBEDDED", "true")
        yield kafka


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    simulation = simulate(learners=60, courses=30, days=30, seed=4)
    write_interactions(simulation.interactions, tmp_path / "interactions.csv")
    write_courses(simulation.courses, tmp_path / "courses.parquet")
    return tmp_path / "interactions.csv", tmp_path / "courses.parquet"


def replay(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def records_of(broker: EmbeddedKafka, topic: str, partitions: int) -> list[ConsumerRecord]:
    """Every record of the topic, partition by partition in its order."""
    version = tuple(map(int, EMBEDDED_API_VERSION.split(".")))
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, api_version=version, group_id=None)
    try:
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in places}
        while any(len(found[place]) < ends[place] for place in places):
            for place, records in consumer.poll(timeout_ms=500).items():
                found[place] += records
    finally:
        consumer.close()
    return [record for place in places for record in found[place]]


def test_every_event_arrives_once_in_its_learners_partition_in_order(
    broker: EmbeddedKafka, files: tuple[Path, Path]
) -> None:
    result = replay("--interactions", files[0], "--courses", files[1], "--json")

    figures = json.loads(result.stdout)
    sent = simulate(learners=60, courses=30, days=30, seed=4)
    records = records_of(broker, "interactions", PARTITIONS)
    events = [decode(record.value, arrival_ms=FAR_FUTURE_MS) for record in records]
    assert figures["interactions"] == len(records) == len(sent.interactions)
    for record, event in zip(records, events, strict=True):
        assert record.key == event.user_id.encode()
        assert record.partition == partition_of(event.user_id, PARTITIONS)
        assert not record.headers
    for user_id, rows in sent.interactions.groupby("user_id"):
        assert [event.event_id for event in events if event.user_id == user_id] == list(rows["event_id"])
    assert (
        pd.Series([event.value for event in events], dtype=float).notna().sum()
        == sent.interactions["value"].notna().sum()
    )


def test_the_catalogue_arrives_keyed_by_course(broker: EmbeddedKafka, files: tuple[Path, Path]) -> None:
    replay("--interactions", files[0], "--courses", files[1])

    records = records_of(broker, "courses", 1)

    sent = list(courses_in(simulate(learners=60, courses=30, days=30, seed=4).courses))
    assert [decode_course(record.value) for record in records] == sent
    assert [record.key.decode() for record in records] == [course.course_id for course in sent]


@pytest.mark.usefixtures("broker")
def test_rows_that_are_no_valid_events_are_sent_as_they_are(broker: EmbeddedKafka, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("event_id,user_id,course_id,type,timestamp\n,u,c,purchase,5\n")

    assert replay("--interactions", tmp_path / "i.csv").exit_code == 0

    (record,) = records_of(broker, "interactions", PARTITIONS)
    assert json.loads(record.value)["type"] == "purchase"


def test_shifting_moves_the_newest_event_to_now_and_keeps_the_distances(broker: EmbeddedKafka, tmp_path: Path) -> None:
    text = "event_id,user_id,course_id,type,timestamp\n1,u,c,view,1000000000000\n2,u,c,view,1000000060000\n"
    (tmp_path / "i.csv").write_text(text)

    before = int(pd.Timestamp.now("UTC").timestamp() * 1000)
    replay("--interactions", tmp_path / "i.csv", "--shift-to-now")
    after = int(pd.Timestamp.now("UTC").timestamp() * 1000)

    older, newest = (json.loads(record.value)["timestamp"] for record in records_of(broker, "interactions", PARTITIONS))
    assert newest - older == 60_000
    assert before <= newest <= after + 1


def test_a_file_without_rows_is_replayed(broker: EmbeddedKafka, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("event_id,user_id,course_id,type,timestamp\n")

    result = replay("--interactions", tmp_path / "i.csv", "--shift-to-now", "--json")

    assert json.loads(result.stdout)["interactions"] == 0
    assert broker.bootstrap_servers


def test_an_unreachable_broker_is_one_clear_error(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{closed.getsockname()[1]}")

        error = replay("--interactions", files[0]).exception

    assert isinstance(error, ServiceUnavailable)
    assert "Kafka cannot be reached: 127.0.0.1" in str(error)


def test_a_missing_file_is_noticed_before_anything_is_sent(broker: EmbeddedKafka, files: tuple[Path, Path]) -> None:
    assert isinstance(replay("--interactions", files[0], "--courses", files[1].parent / "no.csv").exception, InputError)

    assert not records_of(broker, "interactions", PARTITIONS)


class LosingProducer:
    """A producer whose n-th record fails and whose others are acknowledged at once."""

    def __init__(self, lost: int) -> None:
        self.lost, self.sent = lost, 0

    def send(self, topic: str, key: bytes, value: bytes, headers: list[Any]) -> "LosingProducer":
        self.sent += 1
        return self

    def add_callback(self, call: Callable[[Any], None]) -> None:
        if self.sent != self.lost:
            call(None)

    def add_errback(self, call: Callable[[Any], None]) -> None:
        if self.sent == self.lost:
            call(TimeoutError("no reply"))

    def flush(self, timeout: float) -> None: ...


def test_one_lost_record_ends_the_replay_with_the_counts() -> None:
    with pytest.raises(
        ServiceUnavailable, match=r"expected 3 acknowledgements, received 2; 1 records failed \(TimeoutError"
    ):
        produce(LosingProducer(3), "t", [Record(b"k", b"v")] * 10)


class SlowProducer:
    """A producer whose records wait for their acknowledgement, one a millisecond, from another thread."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[Any], None]] = deque()
        self.most_waiting = 0

    def send(self, topic: str, key: bytes, value: bytes, headers: list[Any]) -> "SlowProducer":
        return self

    def add_callback(self, call: Callable[[Any], None]) -> None:
        self._waiting.append(call)
        self.most_waiting = max(self.most_waiting, len(self._waiting))

    def add_errback(self, call: Callable[[Any], None]) -> None: ...

    def acknowledge(self, records: int) -> None:
        while records:
            time.sleep(0.001)
            if self._waiting:
                self._waiting.popleft()(None)
                records -= 1


def test_no_more_records_than_the_bound_wait_for_their_acknowledgement() -> None:
    producer = SlowProducer()
    deliveries = Deliveries(max_outstanding=2)
    broker = threading.Thread(target=producer.acknowledge, args=(50,))
    broker.start()
    for _ in range(50):
        deliveries.send(producer, "t", Record(b"k", b"v"))
    broker.join()

    assert (producer.most_waiting, deliveries.acknowledged) == (2, 50)


def test_a_rate_below_the_producers_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("recsys.kafka.bulk_producer.time.perf_counter", lambda: sum(waits))
    monkeypatch.setattr("recsys.kafka.bulk_producer.time.sleep", waits.append)

    produce(LosingProducer(0), "t", [Record(b"k", b"v")] * 11, rate=5.0)

    assert sum(waits) == pytest.approx(2.0)


def test_shifted_records_keep_their_absent_values_absent() -> None:
    frame = simulate(learners=5, courses=5, days=5, seed=0).interactions
    values = [json.loads(value or b"")["value"] for _, value, _ in event_records(frame, shift_ms=1)]

    assert [value is None for value in values] == list(frame["value"].isna())
