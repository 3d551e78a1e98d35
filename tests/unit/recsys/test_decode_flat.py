"""Values decoded together are what each is alone, or are not decoded together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.errors import InvalidEvent
from recsys.events import EVENT_TYPES, MAX_VALUE_BYTES, Interaction, decode, decode_flat
from tests.examples import examples

ARRIVAL = 1_700_000_000_000
GOOD: dict[str, Any] = {"event_id": "e", "user_id": "u", "course_id": "c", "type": "click", "timestamp": ARRIVAL - 5}

ids = st.sampled_from(["e", "ü", " ", "  ", " e", "!", "", "\x7f", "\x85", "a\nb", "[", "{", "}", '"', "\\", "x" * 256])
changes = st.fixed_dictionaries(
    {},
    optional={
        "event_id": ids,
        "user_id": ids,
        "course_id": ids,
        "type": st.sampled_from([*EVENT_TYPES, "nothing"]),
        "timestamp": st.sampled_from(
            [ARRIVAL, ARRIVAL + 1, ARRIVAL + 400_000, 946_684_799_999, 10**30, "2023-11-14T22:13:19Z", 1.5, None]
        ),
        "value": st.sampled_from([None, 0, 0.5, 5, -1, "1"]),
        "v": st.sampled_from([1, 2]),
        "into": st.sampled_from([None, "w", "u", ""]),
        "extra": st.sampled_from([{"a": 1}, [1], "text"]),
    },
)
events = st.builds(
    lambda change, escaped, indent: json.dumps(GOOD | change, ensure_ascii=escaped, indent=indent).encode(
        "utf-8", "surrogatepass"
    ),
    changes,
    st.booleans(),
    st.sampled_from([None, None, 1]),
)
text = json.dumps(GOOD).encode()
fragments = st.sampled_from(
    [
        b"",
        b"\n",
        b"{",
        b"}",
        b"{}",
        text + text,
        text + b"\n" + text,
        text + b" ",
        b" " + text,
        text[:-1] + b',"x":',
        text + b"}",
        text[:20],
        text[20:],
        text[:-1] + b",",
        text[:-1] + b',"x":"',
        b"null",
        b"\xff",
        text.replace(b'"e"', b'"\xff"'),
        text.replace(b'"e"', b'"a\tb"'),
    ]
)


def alone(value: bytes | None) -> Interaction | None:
    try:
        return decode(value, arrival_ms=ARRIVAL)
    except InvalidEvent:
        return None


@settings(max_examples=examples(1_000), derandomize=True, database=None)
@given(st.lists(events | fragments | st.none(), min_size=1, max_size=6))
@example([text[:-1] + b',"x":', text + b"}", text + text])
@example([text, text[:-1] + b',"x":"', b'{"}'])
def test_values_together_are_what_each_is_alone(values: list[bytes | None]) -> None:
    together = decode_flat(values, [ARRIVAL] * len(values))
    assert together is None or together == [alone(value) for value in values]


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "\x85"},
        {"course_id": "\x7f"},
        {"event_id": "a\tb"},
        {"value": -1},
        {"type": "rate"},
        {"into": "w"},
        {"v": 2},
        {"event_id": "  "},
        {"user_id": " "},
        {"course_id": " "},
        {"course_id": ""},
        {"timestamp": 946_684_799_999},
        {"timestamp": ARRIVAL + 400_000},
        {"extra": [1]},
    ],
)
def test_events_that_are_refused_or_unusual_are_left_to_decode(change: dict[str, Any]) -> None:
    assert decode_flat([text, json.dumps(GOOD | change, ensure_ascii=False).encode()], [ARRIVAL] * 2) is None


def test_a_time_after_arrival_is_set_to_the_arrival_of_its_own_record() -> None:
    later = json.dumps(GOOD | {"timestamp": ARRIVAL + 10}).encode()
    together = decode_flat([later, later], [ARRIVAL, ARRIVAL + 20])
    assert together is not None
    assert [event.timestamp for event in together] == [ARRIVAL, ARRIVAL + 10]


@pytest.mark.parametrize(
    "change",
    [{}, {"user_id": "ü"}, {"course_id": 'in "quotes"'}, {"type": "progress", "value": 0.5}, {"event_id": " e"}],
)
def test_usual_events_are_decoded_together(change: dict[str, Any]) -> None:
    values = [text, json.dumps(GOOD | change, ensure_ascii=False).encode()]
    assert decode_flat(values, [ARRIVAL] * 2) == [alone(value) for value in values]


def test_a_value_that_is_too_large_is_not_decoded_together() -> None:
    large = text[:-1] + b',"extra":"' + b"x" * MAX_VALUE_BYTES + b'"}'
    assert decode_flat([large], [ARRIVAL]) is None
