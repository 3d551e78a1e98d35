"""Every form of an event has one outcome: accepted as documented, or refused with one reason of the closed list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import InvalidEvent
from recsys.errors import RefusalReason as Reason
from recsys.events import MAX_FUTURE_MS, YEAR_2000_MS, Interaction, decode, encode, from_mapping

ARRIVAL = 1_700_000_000_000
GOOD: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "u1",
    "course_id": "c1",
    "type": "view",
    "timestamp": ARRIVAL - 1000,
}


def event(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()


def raw(old: bytes, new: bytes) -> bytes:
    return event().replace(old, new)


def nested(depth: int) -> bytes:
    """A good event with an unknown field that makes it so deep."""
    return raw(b"{", b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b",")


REFUSED: list[tuple[str, bytes | None, Reason]] = [
    ("null value", None, Reason.EMPTY),
    ("no bytes", b"", Reason.EMPTY),
    ("2 MB", event(padding="x" * 2_000_000), Reason.TOO_LARGE),
    ("bad UTF-8", raw(b"u1", b"u\xff"), Reason.NOT_JSON),
    ("UTF-16", event().decode().encode("utf-16"), Reason.NOT_JSON),
    ("byte order mark", b"\xef\xbb\xbf" + event(), Reason.NOT_JSON),
    ("truncated", event()[:-3], Reason.NOT_JSON),
    ("trailing bytes", event() + b"}", Reason.NOT_JSON),
    ("scalar", b"5", Reason.SCHEMA),
    ("null", b"null", Reason.SCHEMA),
    ("array", b"[]", Reason.SCHEMA),
    ("depth 10,000", b"[" * 10_000 + b"]" * 10_000, Reason.TOO_DEEP),
    ("depth 10,000 never closed", b"[" * 10_000, Reason.TOO_DEEP),
    ("depth 100,000 in an unknown field", nested(100_000), Reason.TOO_DEEP),
    ("depth 33", nested(33), Reason.TOO_DEEP),
    ("NaN", raw(b'"type"', b'"value": NaN, "type"'), Reason.NOT_JSON),
    ("Infinity", raw(b'"type"', b'"value": Infinity, "type"'), Reason.NOT_JSON),
    ("1e400", raw(b'"type"', b'"value": 1e400, "type"'), Reason.NOT_JSON),
    ("400-digit timestamp", event(timestamp=10**400), Reason.IN_THE_FUTURE),
    ("5,000-digit timestamp", raw(b"1699999999000", b"9" * 5000), Reason.NOT_JSON),
    ("400-digit value", event(value=10**400), Reason.BAD_VALUE),
    ("pickle", b"\x80\x04\x95\x0b\x00", Reason.NOT_JSON),
    ("schema registry magic byte", b"\x00\x00\x00\x00\x01" + event(), Reason.NOT_JSON),
    ("lone surrogate", raw(b'"u1"', b'"\\ud800"'), Reason.NOT_JSON),
    ("missing event_id", without("event_id"), Reason.SCHEMA),
    ("missing user_id", without("user_id"), Reason.SCHEMA),
    ("missing type", without("type"), Reason.SCHEMA),
    ("missing timestamp", without("timestamp"), Reason.SCHEMA),
    ("empty event_id", event(event_id=""), Reason.BAD_ID),
    ("65-character event_id", event(event_id="e" * 65), Reason.BAD_ID),
    ("129-character user_id", event(user_id="u" * 129), Reason.BAD_ID),
    ("CR LF in user_id", event(user_id="u\r\nFLUSHALL"), Reason.BAD_ID),
    ("NUL in user_id", event(user_id="u\0"), Reason.BAD_ID),
    ("number as user_id", event(user_id=5), Reason.SCHEMA),
    ("unknown type", event(type="purchase"), Reason.UNKNOWN_TYPE),
    ("type of another kind", event(type=3), Reason.SCHEMA),
    ("version 2", event(v=2), Reason.UNSUPPORTED_VERSION),
    ("text value", event(value="five"), Reason.BAD_VALUE),
    ("true as value", event(value=True), Reason.BAD_VALUE),
    ("text session_id of another kind", event(session_id=7), Reason.SCHEMA),
    ("timestamp 0", event(timestamp=0), Reason.BEFORE_2000),
    ("negative timestamp", event(timestamp=-1), Reason.BEFORE_2000),
    ("timestamp in seconds", event(timestamp=ARRIVAL // 1000), Reason.BEFORE_2000),
    ("timestamp in µs", event(timestamp=ARRIVAL * 1000), Reason.IN_THE_FUTURE),
    ("1999", event(timestamp=YEAR_2000_MS - 1), Reason.BEFORE_2000),
    ("2100", event(timestamp=4_102_444_800_000), Reason.IN_THE_FUTURE),
    ("more than 5 minutes ahead", event(timestamp=ARRIVAL + MAX_FUTURE_MS + 1), Reason.IN_THE_FUTURE),
    ("RFC 3339 without a zone", event(timestamp="2023-11-14T22:13:20"), Reason.BAD_TIMESTAMP),
    ("year 10000", event(timestamp="10000-01-01T00:00:00Z"), Reason.BAD_TIMESTAMP),
    ("fractional timestamp", event(timestamp=1.7e12), Reason.BAD_TIMESTAMP),
    ("boolean timestamp", event(timestamp=True), Reason.BAD_TIMESTAMP),
    ("rating 0", event(type="rate", value=0), Reason.BAD_VALUE),
    ("rating 6", event(type="rate", value=6), Reason.BAD_VALUE),
    ("rating without value", event(type="rate"), Reason.BAD_VALUE),
    ("progress −0.1", event(type="progress", value=-0.1), Reason.BAD_VALUE),
    ("progress 1.0001", event(type="progress", value=1.0001), Reason.BAD_VALUE),
    ("negative dwell", event(value=-5), Reason.BAD_VALUE),
]


@pytest.mark.parametrize(("value", "reason"), [pytest.param(v, r, id=name) for name, v, r in REFUSED])
def test_refused_with_its_reason(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(value, arrival_ms=ARRIVAL)
    assert refusal.value.reason == reason
    assert "expected" in refusal.value.detail
    assert "received" in refusal.value.detail
    assert len(str(refusal.value)) < 300


ACCEPTED: list[tuple[str, bytes, dict[str, Any]]] = [
    ("as documented", event(), {}),
    ("unknown fields", event(page="/x", nested={"a": [1]}), {}),
    ("depth 32", nested(32), {}),
    ("brackets in a text", event(page='[{"\\' * 100), {}),
    ("many brackets side by side", event(page=[[{}]] * 1000), {}),
    ("unknown course", event(course_id="never-heard-of"), {"course_id": "never-heard-of"}),
    ("repeated key: the last counts", raw(b'{"event_id": "e1"', b'{"event_id": "e0", "event_id": "e1"'), {}),
    ("key characters in user_id", event(user_id="a:{b}*"), {"user_id": "a:{b}*"}),
    ("other scripts", event(user_id="学习者-ü"), {"user_id": "学习者-ü"}),
    ("RFC 3339 in UTC", event(timestamp="2023-11-14T22:13:19Z"), {"timestamp": ARRIVAL - 1000}),
    ("RFC 3339 with an offset", event(timestamp="2023-11-15T00:13:19.500+02:00"), {"timestamp": ARRIVAL - 500}),
    ("up to 5 minutes ahead: clamped", event(timestamp=ARRIVAL + MAX_FUTURE_MS), {"timestamp": ARRIVAL}),
    ("2000", event(timestamp=YEAR_2000_MS), {"timestamp": YEAR_2000_MS}),
    ("null optional fields", event(value=None, session_id=None, user_agent=None), {}),
    ("rating", event(type="rate", value=5), {"type": "rate", "value": 5.0}),
    ("complete before any start", event(type="complete"), {"type": "complete"}),
]


@pytest.mark.parametrize(("value", "changes"), [pytest.param(v, c, id=name) for name, v, c in ACCEPTED])
def test_accepted_as_documented(value: bytes, changes: dict[str, Any]) -> None:
    assert decode(value, arrival_ms=ARRIVAL) == Interaction(**{**GOOD, **changes})


def test_cloudevents_headers_fill_in_what_the_body_lacks_and_nothing_else() -> None:
    headers = [("ce_id", b"from-header"), ("ce_time", b"2023-11-14T22:13:19Z"), ("ce_type", b"enroll"), ("x", None)]
    body = json.dumps({"user_id": "u1", "course_id": "c1", "type": "view"}).encode()
    got = decode(body, arrival_ms=ARRIVAL, headers=headers)
    assert (got.event_id, got.timestamp, got.type) == ("from-header", ARRIVAL - 1000, "view")


def test_a_thousand_binary_headers_do_no_harm() -> None:
    headers = [(f"h{n}", bytes([n % 256])) for n in range(1000)]
    assert decode(event(), arrival_ms=ARRIVAL, headers=headers) == Interaction(**GOOD)


def test_an_encoded_event_decodes_to_itself() -> None:
    original = Interaction(**{**GOOD, "type": "progress", "value": 0.25, "session_id": "s", "user_agent": "ua"})
    assert decode(encode(original), arrival_ms=ARRIVAL) == original


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300)
    | st.dictionaries(st.sampled_from([*GOOD, "value", "v"]) | st.text(), json_values).map(
        lambda fields: json.dumps({**GOOD, **fields}, allow_nan=True).encode()
    )
)
def test_no_bytes_raise_anything_but_the_typed_refusal(value: bytes) -> None:
    try:
        got = decode(value, arrival_ms=ARRIVAL)
    except InvalidEvent:
        return
    assert YEAR_2000_MS <= got.timestamp <= ARRIVAL
    assert decode(encode(got), arrival_ms=ARRIVAL) == got


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*GOOD, "value", "v"]), json_values))
def test_rows_and_bytes_are_held_to_the_same_rules(fields: dict[str, Any]) -> None:
    fields = {**GOOD, **fields}

    def outcome(call: Any) -> Any:
        try:
            return call()
        except InvalidEvent as refusal:
            return refusal.reason

    try:
        body = json.dumps(fields, allow_nan=False).encode()
    except ValueError:
        return  # no JSON has NaN
    decoded = outcome(lambda: decode(body, arrival_ms=ARRIVAL))
    if decoded is not Reason.NOT_JSON:
        assert outcome(lambda: from_mapping(fields, arrival_ms=ARRIVAL)) == decoded
