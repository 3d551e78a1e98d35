"""The dead-letter format: how a refused record is written, read back, and sent again. Pure; imports no Kafka client.

A dead letter is the refused record (key, value and headers unchanged) with headers on why behind its own:
`__streams.errors.*` of Kafka's KIP-1034 and `dlq.*` of this project, their values text in UTF-8. They are written in
the order of `ADDED_HEADERS`, so that a reader can tell them from headers of the same names that the record itself came
with. The one exception is `dlq.replay_count`, which is always ours: it travels with the record from one refusal to
the next.

The stream worker writes with `encode`; `recsys dlq` reads with `decode` and sends back what `replayed` gives.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from recsys.errors import InvalidEvent, RefusalReason
from recsys.kafka.records import MAX_PRODUCED_BYTES, Record, headers_bytes

ERROR_EXCEPTION: Final = "__streams.errors.exception"
ERROR_MESSAGE: Final = "__streams.errors.message"
ERROR_STACKTRACE: Final = "__streams.errors.stacktrace"
ERROR_TOPIC: Final = "__streams.errors.topic"
ERROR_PARTITION: Final = "__streams.errors.partition"
ERROR_OFFSET: Final = "__streams.errors.offset"
REASON: Final = "dlq.reason"
STAGE: Final = "dlq.stage"
FAILED_AT: Final = "dlq.failed_at"
REPLAY_COUNT: Final = "dlq.replay_count"
OMITTED: Final = "dlq.omitted"

ADDED_HEADERS: Final = (
    ERROR_EXCEPTION,
    ERROR_MESSAGE,
    ERROR_STACKTRACE,
    ERROR_TOPIC,
    ERROR_PARTITION,
    ERROR_OFFSET,
    REASON,
    STAGE,
    FAILED_AT,
    REPLAY_COUNT,
    OMITTED,
)
"""Every header that is added, in the order in which they are written; `dlq.omitted` only where something is missing."""

_ORDER: Final[Mapping[str, int]] = {name: place for place, name in enumerate(ADDED_HEADERS)}

MAX_REPLAY_COUNT: Final = 999_999
"""A larger count is not believed: nobody replays a record that often, and its digits could go on for ever."""

MAX_STACKTRACE_CHARS: Final = 2_000

Headers = Sequence[tuple[str, bytes | None]]


class Message(NamedTuple):
    """What is to be produced.

    Attributes:
        key: As received; None where it was null, or too large to be kept (`dlq.omitted` says so).
        value: As received; None as above.
        headers: Names and values.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record, as read from the dead-letter topic.

    Attributes:
        partition: Of the dead-letter topic.
        offset: In the dead-letter topic.
        appended_ms: When the broker took the letter, ms since 1970 UTC.
        key: As received.
        value: As received.
        headers: As received.
        errors: The added headers by name, as text.
        replay_count: How often the record was replayed before it was refused this time.
    """

    partition: int
    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    errors: Mapping[str, str]
    replay_count: int

    @property
    def reason(self) -> str:
        """`dlq.reason`; "" where the header is missing."""
        return self.errors.get(REASON, "")

    @property
    def incomplete(self) -> bool:
        """Whether the record was too large to be kept whole (`dlq.omitted` says what is missing)."""
        return OMITTED in self.errors


def encode(record: Record, error: InvalidEvent, *, topic: str, partition: int, now_ms: int) -> Message:
    """A refused record as its dead letter.

    Args:
        record: As it was read.
        error: Why it is refused.
        topic: Where it was read.
        partition: Of that topic.
        now_ms: The time of the refusal, ms since 1970 UTC.

    Returns:
        At most about `MAX_PRODUCED_BYTES`: key, headers or value that do not fit, in this order, are left out and
        named in `dlq.omitted`.
    """
    added = _error_headers(record, error, topic, partition, now_ms)
    own = [(name, value) for name, value in record.headers if name != REPLAY_COUNT]
    sizes = {
        "key": len(record.key or b""),
        "headers": headers_bytes(own),
        "value": len(record.value or b""),
    }
    left, omitted = MAX_PRODUCED_BYTES - headers_bytes(added), []
    for name, size in sizes.items():
        if size <= left:
            left -= size
        else:
            omitted.append(name)
    if omitted:
        added.append((OMITTED, ",".join(omitted).encode()))
    return Message(
        key=None if "key" in omitted else record.key,
        value=None if "value" in omitted else record.value,
        headers=[*([] if "headers" in omitted else own), *added],
    )


def decode(record: Record, partition: int) -> DeadLetter:
    """A record of the dead-letter topic as the letter it holds.

    Args:
        record: As it was read.
        partition: Of the dead-letter topic.

    Returns:
        What `encode` wrote. A record that somebody else wrote, without any of the added headers, is a letter too.
    """
    own, added = _split(record.headers)
    errors = {name: (value or b"").decode("utf-8", "replace") for name, value in added}
    return DeadLetter(
        partition=partition,
        offset=record.offset,
        appended_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple((name, value) for name, value in own if name != REPLAY_COUNT),
        errors=errors,
        replay_count=replay_count(record.headers),
    )


def replayed(letter: DeadLetter) -> Message:
    """The record as it goes back to its topic, with a replay count one higher and nothing else added."""
    count = min(letter.replay_count + 1, MAX_REPLAY_COUNT)
    return Message(letter.key, letter.value, (*letter.headers, (REPLAY_COUNT, b"%d" % count)))


def replay_count(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """How often a record was replayed from the dead letters, 0..`MAX_REPLAY_COUNT`.

    Of a repeated header the last one counts, because a replay adds its own behind those the record came with. A value
    that is no such number is 0.
    """
    said = [value for name, value in headers if name == REPLAY_COUNT]
    digits = said[-1] if said else None
    if digits is None or not digits.isdigit() or len(digits) > len(str(MAX_REPLAY_COUNT)):
        return 0
    return int(digits)


def stacktrace(error: BaseException) -> str:
    """Where the error was raised; with source lines and message only for the error it was raised from.

    A refusal by `decode` is no bug, and there may be thousands a second: formatting one in full takes most of a
    millisecond.
    """
    if error.__cause__ is not None:
        return "".join(traceback.format_exception(error.__cause__))[-MAX_STACKTRACE_CHARS:]
    places = ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    return "".join(f'File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in places)


def _error_headers(
    record: Record, error: InvalidEvent, topic: str, partition: int, now_ms: int
) -> list[tuple[str, bytes]]:
    """All of `ADDED_HEADERS` but the last, in their order; text in UTF-8, as Kafka Streams writes them."""
    texts = {
        ERROR_EXCEPTION: f"{type(error).__module__}.{type(error).__qualname__}: {error}",
        ERROR_MESSAGE: error.detail,
        ERROR_STACKTRACE: stacktrace(error),
        ERROR_TOPIC: topic,
        ERROR_PARTITION: str(partition),
        ERROR_OFFSET: str(record.offset),
        REASON: error.reason.value,
        STAGE: "fold" if error.reason is RefusalReason.FOLD_FAILED else "decode",
        FAILED_AT: str(now_ms),
        REPLAY_COUNT: str(replay_count(record.headers)),
    }
    return [(name, text.encode("utf-8", "replace")) for name, text in texts.items()]


def _split(headers: Headers) -> tuple[Headers, Headers]:
    """The record's own headers, and the added ones: the longest tail that keeps the order of `ADDED_HEADERS`."""
    start, following = len(headers), len(ADDED_HEADERS)
    while start and (place := _ORDER.get(headers[start - 1][0], following)) < following:
        start, following = start - 1, place
    return headers[:start], headers[start:]
