"""What a rebuild reads: a span of each partition, in order of arrival. Plain values and a Protocol, no Kafka client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from recsys.kafka.records import Record
from recsys.keys import Partition


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive offsets of one partition.

    Attributes:
        partition: Its number.
        start: First offset to read.
        end: The offset after the last.
        applied: Whether workers have applied all of it before, dead letters included.
    """

    partition: Partition
    start: int
    end: int
    applied: bool


Arrived = tuple[Partition, Record]
"""A partition and one of its records."""


class SpanReader(Protocol):
    """Reads spans of a topic; `log_reader.LogReader` does so from Kafka."""

    def read(self) -> AsyncIterator[list[Arrived]]:
        """Slices of all spans, in order of arrival over all partitions.

        Raises:
            ServiceUnavailable: Kafka does not answer, or stops doing so.
        """
        ...
