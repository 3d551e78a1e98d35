"""Dead letters read back from their topic: which are meant, and where they lie. Nothing here writes.

What a letter holds is `recsys.dead_letters`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from recsys.dead_letters import DeadLetter, decode
from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.bulk_producer import reach
from recsys.settings import Settings

POLL_MS = 500
STALL_S = 30.0
CONNECT_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant.

    Attributes:
        reasons: Of these reasons; empty for all.
        since_ms: Appended at or after this, ms since 1970 UTC.
        until_ms: Appended before this, ms since 1970 UTC.
    """

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.appended_ms >= self.since_ms)
            and (self.until_ms is None or letter.appended_ms < self.until_ms)
        )


class DeadLetterTopic:
    """The dead-letter topic up to its end as it was when this was made.

    Args:
        consumer: Outside any group.
        topic: Its name.
    """

    def __init__(self, consumer: Any, topic: str) -> None:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise ConfigurationError(
                f"expected topic {topic} (`recsys topics` creates it), received a Kafka without it"
            )
        self._consumer, self._topic = consumer, topic
        self._partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        self._first = consumer.beginning_offsets(self._partitions)
        self._end = consumer.end_offsets(self._partitions)

    def letters(
        self, selection: Selection, on_progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Iterator[DeadLetter]:
        """The selected letters, each partition in its order.

        Args:
            selection: Which.
            on_progress: Called now and then with records looked at, and records in all.

        Raises:
            ServiceUnavailable: No records came for half a minute.
        """
        start = self._start(selection)
        total = sum(self._end[tp] - start[tp] for tp in self._partitions)
        for done, record in enumerate(self._records(start), 1):
            letter = decode(record, record.partition)
            if selection.holds(letter):
                yield letter
            on_progress(done, total)
        on_progress(total, total)

    def letter(self, partition: int, offset: int) -> DeadLetter:
        """One letter.

        Raises:
            ConfigurationError: There is none at that place.
        """
        at = TopicPartition(self._topic, partition)
        if at in self._partitions and self._first[at] <= offset < self._end[at]:
            for record in self._records({at: offset}):
                if record.offset == offset:
                    return decode(record, record.partition)
                break
        held = ", ".join(f"{tp.partition}: {self._first[tp]}–{self._end[tp] - 1}" for tp in self._held())
        raise ConfigurationError(
            f"expected partition and offset of a dead letter ({held or 'there is none'}), received {partition} {offset}"
        )

    def _held(self) -> list[TopicPartition]:
        return [tp for tp in self._partitions if self._first[tp] < self._end[tp]]

    def _start(self, selection: Selection) -> dict[TopicPartition, int]:
        if selection.since_ms is None or selection.since_ms < 0:
            return dict(self._first)
        found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions, selection.since_ms))
        return {tp: self._end[tp] if found.get(tp) is None else found[tp].offset for tp in self._partitions}

    def _records(self, start: Mapping[TopicPartition, int]) -> Iterator[Any]:
        partitions = [tp for tp in start if start[tp] < self._end[tp]]
        self._consumer.assign(partitions)
        for tp in partitions:
            self._consumer.seek(tp, start[tp])
        moved = time.monotonic()
        while any(self._consumer.position(tp) < self._end[tp] for tp in partitions):
            batches = self._consumer.poll(timeout_ms=POLL_MS)
            for tp, records in batches.items():
                yield from (record for record in records if record.offset < self._end[tp])
            if batches:
                moved = time.monotonic()
            elif time.monotonic() - moved > STALL_S:
                raise ServiceUnavailable(f"expected records of {self._topic} within {STALL_S:.0f} s, received none")


@contextmanager
def dead_letter_topic(settings: Settings) -> Iterator[DeadLetterTopic]:
    """The dead-letter topic of the settings.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
        ConfigurationError: There is no such topic.
    """
    servers = settings.kafka_bootstrap_servers
    reach(servers)
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=servers.split(","),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            api_version=settings.kafka_api_version_tuple,
            bootstrap_timeout_ms=CONNECT_TIMEOUT_MS,
        )
        try:
            yield DeadLetterTopic(consumer, settings.dead_letter_topic)
        finally:
            consumer.close()
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"expected Kafka at {servers}, received {type(error).__name__}: {error}") from None
