"""A real Kafka as a child process: a power cut loses no acknowledged record, and the address stays."""

from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from infra.devtools.class_archive import archive_path
from infra.devtools.kafka_jars import jars_folder, missing_programs
from infra.devtools.local_kafka import LocalKafka
from recsys.kafka.clients import admin_client
from recsys.settings import Settings
from tests.doubles.commands import wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(bool(missing_programs()), reason="a local Kafka needs java, and mvn once"),
]


def test_acknowledged_records_survive_a_kill_and_the_address_stays() -> None:
    with LocalKafka() as broker:
        address, directory = broker.bootstrap_servers, broker.directory
        settings = Settings(kafka_bootstrap_servers=address)
        with admin_client(settings) as client:
            client.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        producer = KafkaProducer(bootstrap_servers=address, acks="all")
        for number in range(100):
            producer.send("kept", str(number).encode())
        producer.flush()
        producer.close()
        broker.kill()
        assert broker.pid is None
        archive = archive_path(jars_folder())
        wait_until(archive.exists, within_s=90, what="the archive of classes")
        broker.start()
        assert str(archive) in Path(f"/proc/{broker.pid}/maps").read_text()
        assert broker.bootstrap_servers == address
        consumer = KafkaConsumer(bootstrap_servers=address)
        assert consumer.end_offsets([TopicPartition("kept", 0)]) == {TopicPartition("kept", 0): 100}
        consumer.close()
    assert not directory.exists()
