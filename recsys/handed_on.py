"""What a merge hands on: records of one learner, sent through the topic to the partition of another.

The fold of a merged learner's partition writes it, as it writes rerouted records: acknowledged before the fence passes
the event that caused it. The fold of the target's partition joins it, so that one that comes twice changes nothing.
It has the record header `CONTROL_HEADER`, by which it is told from an event; its value is a msgpack array of

    version · learner the records go to · the learners they come from, first to last ·
    time up to which that learner is erased (ms since 1970 UTC, 0 for none) · {course: packed record}

It is none of the event types: nobody but the fold writes it, and history read from the topic passes it over, because
the events that it was made of are in the topic as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import msgspec

from recsys.errors import InvalidEvent, RefusalReason, UnreadableState
from recsys.events import MAX_DETAIL_CHARS, CourseId, UserId
from recsys.record import Record, RecordRules, unpack

CONTROL_HEADER: Final = "recsys.control"
HANDED_ON: Final = b"handed-on"
VERSION: Final = 1

Headers = Iterable[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class HandedOn:
    """Records, or an erasure, on their way to the learner whom they belong to after a merge.

    Attributes:
        user_id: The learner they go to.
        path: The learners they come from, first to last; at least one.
        records: Course → record.
        erased_until_ms: An erasure of the learner they come from, which is one of this learner; 0 for none.
    """

    user_id: str
    path: tuple[str, ...]
    records: Mapping[str, Record] = field(default_factory=dict)
    erased_until_ms: int = 0
    type: ClassVar[str] = "handed-on"
    course_id: ClassVar[str] = ""


class _Form(msgspec.Struct, array_like=True, frozen=True):
    version: int
    user_id: UserId
    path: tuple[UserId, ...]
    erased_until_ms: int
    records: dict[CourseId, bytes]


_decoder = msgspec.msgpack.Decoder(_Form)
_encoder = msgspec.msgpack.Encoder()


def is_handed_on(headers: Headers) -> bool:
    """Whether a Kafka record with these headers holds what `encode_handed_on` wrote."""
    return any(name == CONTROL_HEADER and value == HANDED_ON for name, value in headers)


def encode_handed_on(handed: HandedOn, rules: RecordRules) -> bytes:
    """The value of the Kafka record."""
    packed = {course: rules.packed(record) for course, record in handed.records.items()}
    return _encoder.encode(_Form(VERSION, handed.user_id, handed.path, handed.erased_until_ms, packed))


def decode_handed_on(value: bytes | None) -> HandedOn:
    """The inverse.

    Raises:
        InvalidEvent: The value is none, or of a newer release.
    """
    try:
        form = _decoder.decode(value or b"")
        if form.version > VERSION:
            detail = f"expected handed-on records of version {VERSION}, received {form.version}"
            raise InvalidEvent(RefusalReason.UNSUPPORTED_VERSION, detail)
        records = {course: unpack(packed) for course, packed in form.records.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, UnreadableState) as error:
        detail = f"expected handed-on records, received: {error}"[:MAX_DETAIL_CHARS]
        raise InvalidEvent(RefusalReason.SCHEMA, detail) from None
    if not form.path or not all(map(str.isprintable, (form.user_id, *form.path, *records))):
        raise InvalidEvent(RefusalReason.BAD_ID, "expected ids of printable characters, received others")
    return HandedOn(form.user_id, form.path, records, form.erased_until_ms)
