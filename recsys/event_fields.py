"""The rarer forms of an event, as plain fields: CloudEvents attributes in headers, and RFC 3339 times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from recsys.errors import InvalidEvent, RefusalReason
from recsys.nesting import MAX_DEPTH
from recsys.vocabulary import CONTROL

Headers = Iterable[tuple[str, bytes | None]]
"""Of a Kafka record: name and value."""

_Rfc3339 = Annotated[datetime, msgspec.Meta(tz=True)]
_CLOUDEVENTS_FIELDS = {
    "ce_id": "event_id",
    "ce_type": "type",
    "ce_time": "timestamp",
    "ce_subject": "course_id",
    "ce_userid": "user_id",
    "ce_sessionid": "session_id",
}


def fields_of(value: bytes, headers: Headers) -> dict[str, Any]:
    """The fields of one JSON object; CloudEvents attributes in the headers fill in those that it lacks.

    Raises:
        InvalidEvent: The value is no JSON object.
    """
    try:
        fields = msgspec.json.decode(value)
    except ValueError as error:
        raise not_json(error) from None
    except RecursionError:
        raise too_deep() from None
    if not isinstance(fields, dict):
        raise InvalidEvent(RefusalReason.SCHEMA, f"expected a JSON object, received {type(fields).__name__}")
    for name, raw in headers:
        field = _CLOUDEVENTS_FIELDS.get(name)
        if field is not None and fields.get(field) is None and raw is not None:
            fields[field] = raw.decode("utf-8", "replace")
    return fields


def normalised(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with an RFC 3339 time as milliseconds, and without a missing course where the type names none.

    Raises:
        InvalidEvent: The time is text of another form.
    """
    if fields.get("course_id") is None and fields.get("type") in CONTROL:
        fields["course_id"] = ""
    if isinstance(fields.get("timestamp"), str):
        fields["timestamp"] = _rfc3339_ms(fields["timestamp"])
    return fields


def not_json(error: ValueError) -> InvalidEvent:
    """The refusal of bytes that are no JSON."""
    return InvalidEvent(RefusalReason.NOT_JSON, f"expected a JSON object, received bytes that are none: {error}")


def too_deep() -> InvalidEvent:
    """The refusal of JSON that is nested too deep."""
    return InvalidEvent(RefusalReason.TOO_DEEP, f"expected JSON nested at most {MAX_DEPTH} deep, received deeper")


def _rfc3339_ms(text: str) -> int:
    try:
        return math.floor(msgspec.convert(text, _Rfc3339).timestamp() * 1000)
    except (msgspec.ValidationError, OverflowError, ValueError):
        raise InvalidEvent(
            RefusalReason.BAD_TIMESTAMP,
            f"expected integer milliseconds or RFC 3339 with a zone, received {text[:40]!r}",
        ) from None
