"""Producing as other people's clients do: librdkafka, with any codec, key, header and partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

LARGEST_REQUEST = 10_000_000


class Traffic:
    """Sends records; `flush` waits for every acknowledgement.

    Args:
        kafka: Bootstrap servers.
        topic: Where to.
        configuration: More of librdkafka's settings.
    """

    def __init__(self, kafka: str, topic: str, **configuration: Any) -> None:
        self._topic = topic
        self.refused: list[KafkaError] = []
        self.partitions: list[int] = []
        base = {"bootstrap.servers": kafka, "acks": "all", "linger.ms": 2, "message.max.bytes": LARGEST_REQUEST}
        self._producer: Callable[[str], Producer] = cache(
            lambda codec: Producer({**base, "compression.type": codec, **configuration})
        )

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        *,
        partition: int | None = None,
        codec: str = "none",
    ) -> None:
        producer = self._producer(codec)
        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        while True:
            try:
                producer.produce(
                    self._topic, value=value, key=key, headers=list(headers), on_delivery=self._delivered, **where
                )
            except BufferError:
                producer.poll(0.1)
            else:
                producer.poll(0)
                return

    def flush(self, codec: str = "none") -> None:
        assert self._producer(codec).flush(30) == 0

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error)
            return
        partition = message.partition()
        assert partition is not None
        self.partitions.append(partition)


@contextmanager
def a_worker_on(recsys: Any, partitions: int) -> Iterator[Any]:
    """Topics and one worker, whose process must be the same at the end."""
    recsys.run("topics", "--partitions", str(partitions))
    worker = recsys.start_worker()
    try:
        yield worker
        assert worker.poll() is None, recsys.log_of(worker)
        assert recsys.log_of(worker).count("worker_started") == 1
    finally:
        recsys.stop_workers()
