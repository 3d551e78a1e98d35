"""Produces a load at a steady rate from a thread: it goes on while services fail, and remembers how the log grew."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from confluent_kafka import KafkaException, Message, Producer

from tests.faults.load import Load, Produced

DELIVERY_TIMEOUT_MS = 600_000
BURST_S = 0.02
NOTE_EVERY_S = 0.1
FLUSH_S = 120.0


class LoadProducer:
    """Produces until told to finish; librdkafka retries through outages, idempotently.

    Args:
        servers: Bootstrap servers.
        topic: An existing topic.
        load: What to produce.
        at_least: Records to have produced in the end, however early it is told to finish.
        start_at: Log ends when it starts, for a topic that is not empty.

    Attributes:
        produced: Records handed to the client.
        acknowledged: Records the broker acknowledged.
        failed: Errors of records that it did not, and of the load itself.
        log_ends: Partition → offset after the last acknowledged record.
    """

    def __init__(
        self, servers: str, topic: str, load: Load, *, at_least: int, start_at: dict[int, int] | None = None
    ) -> None:
        self._topic, self._load, self._at_least = topic, load, at_least
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "linger.ms": 20,
                "message.timeout.ms": DELIVERY_TIMEOUT_MS,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self.produced = self.acknowledged = 0
        self.failed: list[str] = []
        self.log_ends: dict[int, int] = dict(start_at or {})
        self._history: dict[int, list[tuple[float, int]]] = {p: [] for p in range(load.partitions)}
        self._finish = threading.Event()
        self._thread = threading.Thread(target=self._run_or_note, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Ends the load: what is missing up to `at_least` comes as fast as it goes; returns when all is acknowledged.

        Raises:
            RuntimeError: A record was not acknowledged, or the load itself broke.
        """
        self._finish.set()
        self._thread.join()
        if self.failed or self.acknowledged != self.produced:
            raise RuntimeError(
                f"expected {self.produced} acknowledgements, received {self.acknowledged}: {self.failed[:3]}"
            )

    def abandon(self) -> None:
        """Ends the load at once, whatever is on the way; harmless after `finish`."""
        self._at_least = 0
        self._finish.set()
        self._producer.purge()
        self._thread.join()

    def lag_s(self, partition: int, fence: int | None) -> float:
        """The age in seconds of the oldest record after the fence; 0.0 if there is none."""
        applied = -1 if fence is None else fence
        history = self._history[partition]
        for at, end in reversed(history[-3000:]):
            if end <= applied + 1:
                return 0.0 if end >= self.log_ends.get(partition, 0) else time.monotonic() - at
        return time.monotonic() - history[0][0] if history else 0.0

    def _run_or_note(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - a load that ends early must be seen, not waited for
            self.failed.append(f"the load's thread: {error!r}")

    def _run(self) -> None:
        records, started, noted = self._load.records(), time.monotonic(), 0.0
        while not self._finish.is_set():
            due = int((time.monotonic() - started) * self._load.rate) - self.produced
            for _ in range(due):
                self._send(records)
            self._producer.poll(0)
            if time.monotonic() - noted > NOTE_EVERY_S:
                noted = self._note()
            time.sleep(BURST_S)
        while self.produced < self._at_least:
            self._send(records)
            if self.produced % 500 == 0:
                self._producer.poll(0)
                self._note()
        self._producer.flush(FLUSH_S)
        self._note()

    def _send(self, records: Iterator[Produced]) -> None:
        record = next(records)
        while True:
            try:
                self._producer.produce(
                    self._topic, record.value, record.key, record.partition, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                self.failed.append(str(error))
                return
            else:
                self.produced += 1
                return

    def _note(self) -> float:
        now = time.monotonic()
        for partition, end in self.log_ends.items():
            self._history[partition].append((now, end))
        return now

    def _delivered(self, error: object, message: Message) -> None:
        if error is not None:
            self.failed.append(str(error))
            return
        self.acknowledged += 1
        partition, offset = message.partition(), message.offset()
        if (
            partition is not None and offset is not None
        ):  # unknown where the broker took a retry for the duplicate it was
            self.log_ends[partition] = max(self.log_ends.get(partition, 0), offset + 1)
