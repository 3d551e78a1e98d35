"""Dead letters: what the stream refused, read back from their topic. Nothing here writes.

A letter is the refused record (key, value and headers unchanged) plus headers on why: `__streams.errors.*` of Kafka's
KIP-1034 and `dlq.*` of this project. All their values are text in UTF-8; of a repeated header the last one counts,
because the stream adds its own behind those the record came with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.bulk_producer import reach
from recsys.settings import Settings

ERROR_PREFIXES = ("__streams.errors.", "dlq.")
POLL_MS = 500
STALL_S = 30.0
CONNECT_TIMEOUT_MS = 5_000

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record.

    Attributes:
        partition: Of the dead-letter topic.
        offset: In the dead-letter topic.
        appended_ms: When the broker took the letter, ms since 1970 UTC.
        key: As received.
        value: As received.
        headers: As received.
        errors: The added headers by name, as text.
    """

    partition: int
    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    errors: Mapping[str, str]

    @classmethod
    def of(cls, record: Any) -> DeadLetter:
        """The letter in a Kafka record; one that somebody else wrote, without any of the headers, is a letter too."""
        own = tuple((name, value) for name, value in record.headers if not name.startswith(ERROR_PREFIXES))
        added = {
            name: (value or b"").decode("utf-8", "replace")
            for name, value in record.headers
            if name.startswith(ERROR_PREFIXES)
        }
        return cls(record.partition, record.offset, record.timestamp, record.key, record.value, own, added)

    @property
    def reason(self) -> str:
        """`dlq.reason`; "" where the header is missing."""
        return self.errors.get("dlq.reason", "")

    @property
    def replay_count(self) -> int:
        """How often the record was replayed before it was refused this time; 0 where the header is no such number."""
        text = self.errors.get("dlq.replay_count", "0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < len("1000000") else 0

    @property
    def incomplete(self) -> bool:
        """Whether the record was too large to be kept whole (`dlq.omitted` says what is missing)."""
        return "dlq.omitted" in self.errors


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
            letter = DeadLetter.of(record)
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
                    return DeadLetter.of(record)
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
