"""This module reads dead letters from their topic, all of them or a selection. It writes nothing.

`recsys.dead_letters` decodes what a letter holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from recsys.dead_letters import DeadLetter, decode
from recsys.errors import ConfigurationError
from recsys.kafka.bounded import BoundedLog
from recsys.kafka.clients import bounded_consumer
from recsys.settings import Settings


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
        self._log = BoundedLog(consumer, topic)

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
        total = sum(self._log.end[number] - offset for number, offset in start.items())
        for done, record in enumerate(self._log.records(start), 1):
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
        first, end = self._log.first, self._log.end
        if partition in first and first[partition] <= offset < end[partition]:
            for record in self._log.records({partition: offset}):
                if record.offset == offset:
                    return decode(record, record.partition)
                break
        held = ", ".join(f"{each}: {first[each]}–{end[each] - 1}" for each in first if first[each] < end[each])
        raise ConfigurationError(
            f"the dead-letter topic holds no record at partition {partition}, offset {offset}; "
            f"it holds {f'these (partition: offsets): {held}' if held else 'none at all'}"
        )

    def _start(self, selection: Selection) -> Mapping[int, int]:
        if selection.since_ms is None or selection.since_ms < 0:
            return self._log.first
        return self._log.since(selection.since_ms)


@contextmanager
def dead_letter_topic(settings: Settings) -> Iterator[DeadLetterTopic]:
    """The dead-letter topic of the settings.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
        ConfigurationError: There is no such topic.
    """
    with bounded_consumer(settings) as consumer:
        yield DeadLetterTopic(consumer, settings.dead_letter_topic)
