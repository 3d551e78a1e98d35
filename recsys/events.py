"""The interaction event: bytes from Kafka (or a request body) to a validated `Interaction`, in one step.

This module never reads a clock: the arrival time is an argument (for a Kafka record it is the record's own
log-append time), so every worker, rebuild and oracle decodes the same bytes to the same value. Schema, rules and form
stay together: they are one contract, and adding a field touches all three. `recsys.event_fields` has the rarer forms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, Literal, get_args

import msgspec

from recsys.errors import InvalidEvent, RefusalReason
from recsys.event_fields import Headers, fields_of, normalised, not_json, too_deep
from recsys.nesting import nests_deeper
from recsys.vocabulary import CONTROL

EventType = Literal[
    "view",
    "click",
    "play",
    "progress",
    "bookmark",
    "enroll",
    "complete",
    "rate",
    "dismiss",
    "unbookmark",
    "unenroll",
    "uncomplete",
    "unrate",
    "undismiss",
    "merge",
    "erase",
]
"""The types of `recsys.vocabulary.VOCABULARY`, which says what each means."""

EVENT_TYPES: tuple[str, ...] = get_args(EventType)

DONE_PROGRESS = 0.9
"""A `progress` of at least this is a completion, unless a setting says otherwise."""

SCHEMA_VERSION = 1
MAX_VALUE_BYTES = 1_000_000
LONGEST_SHOWN = 10**18
MAX_DETAIL_CHARS = 200
MAX_FUTURE_MS = 5 * 60 * 1000
YEAR_2000_MS = 946_684_800_000

MAX_ID_CHARS = 255
"""Open edX course keys have up to 255 characters."""

EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
CourseId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
CourseIdOrNone = Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS)]
RunId = Annotated[str, msgspec.Meta(max_length=255)]
Tenant = Annotated[str, msgspec.Meta(max_length=128)]
Source = Annotated[str, msgspec.Meta(max_length=64)]

_IDS = frozenset({"event_id", "user_id", "course_id", "into"})
_VALUED_TYPES = frozenset({"progress", "rate"})
_PLAIN_TYPES = frozenset(EVENT_TYPES).difference(CONTROL, _VALUED_TYPES)
_first_byte = itemgetter(0)
_BLANKS = "!"  # what begins with a blank is less, and nothing else that is printable
_CURLY, _SQUARE, _BACKSLASH, _DELETE = *b"{[\\", 0x7F  # sought as numbers in a fifth of the time


class Interaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One accepted interaction of a learner with a course.

    Attributes:
        event_id: Names the event in dead letters and logs, 1–255 printable characters, not all of them blanks.
        user_id: Opaque learner id, 1–255 printable characters, not all of them blanks.
        course_id: The course, 1–255 printable characters, not all of them blanks; empty for `merge` and `erase`.
        type: One of `EVENT_TYPES`.
        timestamp: Event time, integer milliseconds since 1970 UTC, from 2000 up to arrival.
        value: `progress` 0..1, `rate` 1..5, otherwise seconds ≥ 0; None where absent.
        session_id: Evidence for the bot detector, not interpreted.
        user_agent: Evidence for the bot detector, not interpreted.
        v: Schema version, 1.
        run_id: The run of the course, not interpreted.
        tenant: The organisation, not interpreted.
        source: The adapter that sent it, not interpreted.
        into: The learner that a `merge` joins `user_id` to, 1–255 printable characters; None for every other type.
    """

    event_id: EventId
    user_id: UserId
    course_id: CourseIdOrNone
    type: EventType
    timestamp: int
    value: float | None = None
    session_id: str | None = None
    user_agent: str | None = None
    v: int = SCHEMA_VERSION
    run_id: RunId | None = None
    tenant: Tenant | None = None
    source: Source | None = None
    into: UserId | None = None


_decoder = msgspec.json.Decoder(Interaction)
_encoder = msgspec.json.Encoder()


def decode(value: bytes | None, *, arrival_ms: int, headers: Headers = ()) -> Interaction:
    """Decodes and validates one event.

    Args:
        value: The record value or request body: one JSON object in UTF-8.
        arrival_ms: When the event reached us, ms since 1970 UTC; an event at most 5 minutes later is clamped to it.
        headers: Kafka record headers; CloudEvents binary-mode attributes fill in missing body fields.

    Raises:
        InvalidEvent: With its reason, for anything that is not a valid event. Nothing else is raised.
    """
    if not value:
        raise InvalidEvent(RefusalReason.EMPTY, "expected a JSON object, received no bytes")
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidEvent(RefusalReason.TOO_LARGE, f"expected at most {MAX_VALUE_BYTES} bytes, received {len(value)}")
    if nests_deeper(value):
        raise too_deep()
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError:
        event = _convert(fields_of(value, headers))
    except ValueError as error:  # msgspec's DecodeError, bad UTF-8, an integer of 4,300 digits
        raise not_json(error) from None
    except RecursionError:
        raise too_deep() from None
    return _checked(event, arrival_ms)


def decode_flat(values: Sequence[bytes | None], arrivals_ms: Sequence[int]) -> list[Interaction] | None:
    """What `decode` gives for each of several values, in half the time, where all are valid and none is nested.

    Args:
        values: Of records without headers, at least one.
        arrivals_ms: When each reached us, ms since 1970 UTC.

    Returns:
        The events, one for each value; None where a value is invalid, or may be: `decode` each alone.
    """
    try:
        if {*map(_first_byte, values)} != {_CURLY}:  # type: ignore[arg-type]  # None is a TypeError
            return None
        lines = b"\n".join(values)  # type: ignore[arg-type]
        if lines.count(_CURLY) > len(values) or _SQUARE in lines or len(lines) > MAX_VALUE_BYTES:
            return None
        # There are as many opening braces as values, one at the beginning of each. As many events take one each at
        # least; so none is left for an object inside another, nor for one that begins within a value: each is an event.
        events = _decoder.decode_lines(lines)
        # Then strings hold printable characters only.
        printable = lines.isascii() and _BACKSLASH not in lines and _DELETE not in lines
        return [
            event
            if printable
            and YEAR_2000_MS <= event.timestamp <= arrival_ms
            and event.type in _PLAIN_TYPES
            and event.value is None
            and event.into is None
            and event.v == SCHEMA_VERSION
            and event.event_id > _BLANKS
            and event.user_id > _BLANKS
            and event.course_id > _BLANKS
            else _checked(event, arrival_ms)
            for event, arrival_ms in zip(events, arrivals_ms, strict=True)
        ]
    except (TypeError, IndexError, ValueError, InvalidEvent, RecursionError):
        return None


def encode(event: Interaction) -> bytes:
    """The event as one JSON object in UTF-8, without fields at their default; `decode` gives it back unchanged."""
    return _encoder.encode(event)


def from_mapping(fields: Mapping[str, Any], *, arrival_ms: int) -> Interaction:
    """Validates an event that was read field by field (a file row) under the same rules as `decode`.

    Raises:
        InvalidEvent: As `decode` does.
    """
    return _checked(_convert(dict(fields)), arrival_ms)


def _convert(fields: dict[str, Any]) -> Interaction:
    try:
        return msgspec.convert(normalised(fields), Interaction)
    except msgspec.ValidationError as error:
        detail = f"expected an event of schema version {SCHEMA_VERSION}, received: {error}"
        raise InvalidEvent(_schema_reason(str(error)), detail[:MAX_DETAIL_CHARS]) from None


def _schema_reason(message: str) -> RefusalReason:
    where = message.rpartition("$.")[2].rstrip("`")
    if where == "type" and "enum" in message:
        return RefusalReason.UNKNOWN_TYPE
    if where in _IDS and "length" in message:
        return RefusalReason.BAD_ID
    return {"timestamp": RefusalReason.BAD_TIMESTAMP, "value": RefusalReason.BAD_VALUE}.get(where, RefusalReason.SCHEMA)


def _checked(event: Interaction, arrival_ms: int) -> Interaction:
    """The rules a type cannot say. Hot path: one call an event."""
    user_id, course_id, event_id, timestamp = event.user_id, event.course_id, event.event_id, event.timestamp
    if not (user_id.isprintable() and course_id.isprintable() and event_id.isprintable()):
        raise InvalidEvent(RefusalReason.BAD_ID, "expected ids of printable characters, received others")
    if user_id.isspace() or course_id.isspace() or event_id.isspace():
        raise InvalidEvent(RefusalReason.BAD_ID, "expected ids that show something, received one of blanks only")
    if not course_id or event.type in CONTROL or event.into is not None:
        _check_control(event)
    if event.v != SCHEMA_VERSION:
        raise InvalidEvent(
            RefusalReason.UNSUPPORTED_VERSION, f"expected schema version {SCHEMA_VERSION}, received {event.v}"
        )
    if event.value is not None or event.type in _VALUED_TYPES:
        _check_value(event)
    if timestamp > arrival_ms:
        if timestamp > arrival_ms + MAX_FUTURE_MS:
            raise InvalidEvent(
                RefusalReason.IN_THE_FUTURE,
                f"expected a time up to 5 minutes after arrival ({arrival_ms}), received {_shown(timestamp)}",
            )
        return msgspec.structs.replace(event, timestamp=arrival_ms)
    if timestamp < YEAR_2000_MS:
        raise InvalidEvent(RefusalReason.BEFORE_2000, f"expected a time in or after 2000, received {_shown(timestamp)}")
    return event


def _shown(timestamp: int) -> str:
    """A timestamp for a message; one of thousands of digits cannot even be printed."""
    return str(timestamp) if abs(timestamp) < LONGEST_SHOWN else "a number of more than 18 digits"


def _check_control(event: Interaction) -> None:
    """`merge` and `erase` name no course, `merge` names another learner; every other type names a course only."""
    if event.type not in CONTROL:
        if not event.course_id:
            raise InvalidEvent(RefusalReason.BAD_ID, "expected course_id of 1 to 255 characters, received none")
        raise InvalidEvent(RefusalReason.SCHEMA, f"expected `into` with type merge only, received it with {event.type}")
    if event.course_id:
        raise InvalidEvent(RefusalReason.SCHEMA, f"expected no course_id with type {event.type}, received one")
    if (event.into is None) == (event.type == "merge"):
        raise InvalidEvent(RefusalReason.SCHEMA, f"expected `into` with type merge only, received type {event.type}")
    if event.into is not None and not event.into.isprintable():
        raise InvalidEvent(RefusalReason.BAD_ID, "expected ids of printable characters, received others")
    if event.into == event.user_id:
        raise InvalidEvent(RefusalReason.BAD_ID, "expected `into` another learner than user_id, received the same")


def _check_value(event: Interaction) -> None:
    low, high = {"progress": (0.0, 1.0), "rate": (1.0, 5.0)}.get(event.type, (0.0, math.inf))
    if event.value is None or not low <= event.value <= high or math.isinf(event.value):
        raise InvalidEvent(
            RefusalReason.BAD_VALUE, f"expected {event.type} value in [{low:g}, {high:g}], received {event.value}"
        )
