"""What merges hand on is read back as it was, told from an event by its header, and refused where it is none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS
from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import Interaction
from recsys.handed_on import (
    CONTROL_HEADER,
    HANDED_ON,
    VERSION,
    HandedOn,
    decode_handed_on,
    encode_handed_on,
    is_handed_on,
)
from recsys.record import EMPTY, Record, RecordRules, join, pack, record_of
from tests.doubles.record_events import events

RULES = RecordRules()
ids = st.text("abü学:{}", min_size=1, max_size=5)
records = st.lists(events(), min_size=1, max_size=5).map(
    lambda history: reduce(join, (record_of(each, RULES) for each in history), EMPTY)
)


@given(ids, st.lists(ids, min_size=1, max_size=3), st.dictionaries(ids, records, max_size=4), st.integers(0, 2**41))
def test_it_is_read_back_as_it_was(user: str, path: list[str], held: dict[str, Record], until: int) -> None:
    handed = HandedOn(user, tuple(path), held, until)
    assert decode_handed_on(encode_handed_on(handed, RULES)) == handed


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], False),
        ([("ce_id", b"1")], False),
        ([(CONTROL_HEADER, b"something else")], False),
        ([(CONTROL_HEADER, None)], False),
        ([("trace", b"x"), (CONTROL_HEADER, HANDED_ON)], True),
    ],
)
def test_the_header_tells_it_from_an_event(headers: Sequence[tuple[str, bytes | None]], said: bool) -> None:
    assert is_handed_on(headers) is said


PACKED = pack(record_of(Interaction("e", "u", "c", "click", LANDMARK_MS), RULES), 5.0)


def value(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("given_value", "reason"),
    [
        (None, RefusalReason.SCHEMA),
        (b"", RefusalReason.SCHEMA),
        (b'{"event_id": "e"}', RefusalReason.SCHEMA),
        (value(VERSION, "u"), RefusalReason.SCHEMA),
        (value(VERSION, 5, ["v"], 0, {}), RefusalReason.SCHEMA),
        (value(VERSION, "u", ["v"], 0, {"c": b"no record"}), RefusalReason.SCHEMA),
        (value(VERSION, "u", ["v"], 0, {"c": PACKED[:8] + b"\2" + PACKED[9:]}), RefusalReason.SCHEMA),
        (value(VERSION + 1, "u", ["v"], 0, {}), RefusalReason.UNSUPPORTED_VERSION),
        (value(VERSION, "u", [], 0, {}), RefusalReason.BAD_ID),
        (value(VERSION, "u\n", ["v"], 0, {}), RefusalReason.BAD_ID),
        (value(VERSION, "u", ["v\0"], 0, {}), RefusalReason.BAD_ID),
        (value(VERSION, "u", ["v"], 0, {"c\r": PACKED}), RefusalReason.BAD_ID),
    ],
)
def test_what_is_none_is_refused(given_value: bytes | None, reason: RefusalReason) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_handed_on(given_value)
    assert refused.value.reason is reason


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_the_typed_refusal(given_value: bytes) -> None:
    try:
        assert isinstance(decode_handed_on(given_value), HandedOn)
    except InvalidEvent:
        return
