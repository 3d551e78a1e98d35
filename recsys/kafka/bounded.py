"""Reading a topic to the end that it had when the reading began, outside any consumer group.

Reading disturbs nobody, and two readings of the same offsets give the same records. Whoever reads Kafka to an end uses
`StallRule`: what has to move is the positions, because an aborted transaction holds no records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recsys.errors import ConfigurationError, ServiceUnavailable

STALL_S = 30.0
POLL_MS = 500
POLL_RECORDS = 20_000


class StallRule:
    """Ends a reading whose positions have not moved for a while.

    Args:
        topic: For the message.
        limit_s: Seconds without a move.
        clock: Seconds, monotonic.
    """

    def __init__(self, topic: str, limit_s: float = STALL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic, self._limit_s, self._clock = topic, limit_s, clock
        self._reached: int | None = None
        self._moved_at = clock()

    def check(self, reached: int) -> None:
        """To be called after each poll.

        Args:
            reached: Sum of all positions.

        Raises:
            ServiceUnavailable: The sum has stayed the same for too long.
        """
        now = self._clock()
        if reached != self._reached:
            self._reached, self._moved_at = reached, now
        elif now - self._moved_at > self._limit_s:
            raise ServiceUnavailable(
                f"Kafka sent nothing more of topic {self._topic} for {self._limit_s:.0f} s, and its end is not reached"
            )


class BoundedLog:
    """A topic up to its end as it was when this was made.

    Attributes:
        first: Partition → first offset that the topic held then.
        end: Partition → offset after the last.

    Args:
        consumer: Of kafka-python, outside any group (`clients.bounded_consumer`).
        topic: Its name.
        clock: Seconds, monotonic.

    Raises:
        ConfigurationError: There is no such topic.
    """

    def __init__(self, consumer: Any, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        from kafka import TopicPartition  # noqa: PLC0415 - clients are imported where they are used

        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise ConfigurationError(missing_topic(topic))
        self.topic = topic
        self._consumer, self._clock = consumer, clock
        self._places = {number: TopicPartition(topic, number) for number in sorted(numbers)}
        places = list(self._places.values())
        first, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
        self.first: Mapping[int, int] = {number: first[place] for number, place in self._places.items()}
        self.end: Mapping[int, int] = {number: end[place] for number, place in self._places.items()}

    def since(self, at_ms: int) -> dict[int, int]:
        """Partition → offset of the first record that was appended at or after a time, ms since 1970 UTC."""
        found = self._consumer.offsets_for_times(dict.fromkeys(self._places.values(), at_ms))
        later = {number: found.get(place) for number, place in self._places.items()}
        return {number: self.end[number] if at is None else at.offset for number, at in later.items()}

    def records(self, start: Mapping[int, int] | None = None) -> Iterator[Any]:
        """The records of each partition in their order.

        Args:
            start: Partition → offset to begin at, for the partitions that are wanted; None for all of everything.

        Raises:
            ServiceUnavailable: Nothing more came for half a minute.
        """
        start = self.first if start is None else start
        wanted = {self._places[number]: self.end[number] for number in start if start[number] < self.end[number]}
        self._consumer.assign(list(wanted))
        for place in wanted:
            self._consumer.seek(place, start[place.partition])
        stall = StallRule(self.topic, clock=self._clock)
        while any(self._consumer.position(place) < end for place, end in wanted.items()):
            for place, records in self._consumer.poll(timeout_ms=POLL_MS, max_records=POLL_RECORDS).items():
                yield from (record for record in records if record.offset < wanted[place])
            stall.check(sum(self._consumer.position(place) for place in wanted))


def missing_topic(topic: str) -> str:
    """What every command says of a topic that is not there, as far as its user is told."""
    remedy = "`recsys topics` creates it (one that this user may not describe looks the same)"
    return f"Kafka has no topic {topic}: {remedy}"
