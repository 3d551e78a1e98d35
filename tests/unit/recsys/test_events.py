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
from tests.bad_input import PAGE, Row, page_with, rows
from tests.examples import examples

ARRIVAL = 1_700_000_000_000
GOOD: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "u1",
    "course_id": "c1",
    "type": "view",
    "timestamp": ARRIVAL - 1000,
}


ROWS = rows(ARRIVAL)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if row.refused])
def test_refused_with_its_reason(row: Row) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(row.value, arrival_ms=ARRIVAL, headers=row.headers)
    assert refusal.value.reason == row.outcome
    assert "expected" in refusal.value.detail
    assert "received" in refusal.value.detail
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if not row.refused])
def test_accepted_as_documented(row: Row) -> None:
    assert row.fields is not None
    assert decode(row.value, arrival_ms=ARRIVAL, headers=row.headers) == Interaction(**row.fields)


def test_the_page_has_every_row_as_it_is() -> None:
    page = PAGE.read_text()
    assert page == page_with(page), "docs/bad-input.md is out of date: python -m tests.bad_input"


def test_the_future_begins_five_minutes_after_arrival() -> None:
    def ahead(ms: int) -> Interaction:
        return decode(json.dumps({**GOOD, "timestamp": ARRIVAL + ms}).encode(), arrival_ms=ARRIVAL)

    assert ahead(MAX_FUTURE_MS).timestamp == ARRIVAL
    with pytest.raises(InvalidEvent, match="in_the_future"):
        ahead(MAX_FUTURE_MS + 1)


def test_cloudevents_headers_fill_in_what_the_body_lacks_and_nothing_else() -> None:
    headers = [("ce_id", b"from-header"), ("ce_time", b"2023-11-14T22:13:19Z"), ("ce_type", b"enroll"), ("x", None)]
    body = json.dumps({"user_id": "u1", "course_id": "c1", "type": "view"}).encode()
    got = decode(body, arrival_ms=ARRIVAL, headers=headers)
    assert (got.event_id, got.timestamp, got.type) == ("from-header", ARRIVAL - 1000, "view")


def test_an_encoded_event_decodes_to_itself() -> None:
    original = Interaction(**{**GOOD, "type": "progress", "value": 0.25, "session_id": "s", "user_agent": "ua"})
    assert decode(encode(original), arrival_ms=ARRIVAL) == original


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(300))
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


@settings(max_examples=examples(200))
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
