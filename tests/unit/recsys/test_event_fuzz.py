"""Ten thousand inputs, the same in each whole run: decoding raises the typed refusal or nothing, and is stable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import YEAR_2000_MS, Interaction, decode, encode
from tests.examples import examples

ARRIVAL = 1_700_000_000_000
GOOD: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "u1",
    "course_id": "c1",
    "type": "progress",
    "timestamp": ARRIVAL - 1000,
    "value": 0.5,
    "session_id": "s",
    "user_agent": "ua",
    "v": 1,
}
FIELDS = [*GOOD, "x"]
EXAMPLES = 1_250
"""Of each of four kinds, each decoded without headers and with some: 10,000 cases in `make test`, else a fifth."""

Headers = Sequence[tuple[str, bytes | None]]


def fuzzed(**options: Any) -> Any:
    """The same cases in every run, and all of them."""
    return settings(
        max_examples=examples(EXAMPLES),
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        **options,
    )


ce_names = st.sampled_from(["ce_id", "ce_type", "ce_time", "ce_subject", "ce_userid", "ce_sessionid", "ce_source"])
ce_values = (
    st.none() | st.binary(max_size=70) | st.sampled_from([b"e9", b"view", b"2023-11-14T22:13:19Z", b"\xff", b""])
)
headers = st.lists(st.tuples(ce_names | st.text(max_size=5), ce_values), min_size=1, max_size=6)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(ARRIVAL - 10**6, ARRIVAL + 10**6)
    | st.integers(10**300, 10**301)
    | st.floats()
    | st.text(max_size=140)
    | st.datetimes().map(lambda at: at.isoformat() + "Z")
    | st.sampled_from([*GOOD.values(), "view", "rate", "5", 0, -1, 1e308, "1970-01-01T00:00:00Z"])
)
awkward = st.text(st.sampled_from("a:{}*\r\n\0\x1b\u202e\u2028ü学\ud800\udfff"), min_size=1, max_size=70)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner),
    max_leaves=6,
)


def text_of(tree: Any) -> bytes:
    """JSON and its usual extensions: NaN and Infinity as Python writes them, lone surrogates as escapes."""
    return json.dumps(tree).encode()


@st.composite
def changed_events(draw: st.DrawFn) -> bytes:
    """A good event with fields left out, exchanged or set to something else."""
    fields = dict(GOOD)
    for _ in range(draw(st.integers(0, 3))):
        name, other = draw(st.sampled_from(FIELDS)), draw(st.sampled_from(FIELDS))
        change = draw(st.sampled_from(["drop", "swap", "set"]))
        if change == "drop":
            fields.pop(name, None)
        elif change == "swap":
            fields[name], fields[other] = fields.get(other), fields.get(name)
        else:
            fields[name] = draw(trees | awkward)
    return text_of(fields)


@st.composite
def damaged_events(draw: st.DrawFn) -> bytes:
    """The bytes of such an event with bits flipped, cut, repeated or put in."""
    value = bytearray(draw(changed_events()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        change = draw(st.sampled_from(["flip", "cut", "repeat", "insert"]))
        if change == "flip" and value:
            value[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del value[at:]
        elif change == "repeat":
            value[at:at] = value[at : at + 20]
        else:
            value[at:at] = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"{", b"[" * 40, b'"', b"\\u"]))
    return bytes(value)


def outcome(value: bytes, given_headers: Headers) -> Interaction | InvalidEvent:
    try:
        return decode(value, arrival_ms=ARRIVAL, headers=given_headers)
    except InvalidEvent as refusal:
        return refusal


def holds(value: bytes, some_headers: Headers) -> None:
    """Accepted or refused with a reason; what is accepted keeps the promises of an event and survives encoding."""
    for got in (outcome(value, ()), outcome(value, some_headers)):
        if isinstance(got, InvalidEvent):
            assert isinstance(got.reason, RefusalReason)
            assert len(str(got).encode()) < 1000  # it goes into a header and a log line
            continue
        assert YEAR_2000_MS <= got.timestamp <= ARRIVAL
        for text, longest in ((got.event_id, 64), (got.user_id, 128), (got.course_id, 128)):
            assert 1 <= len(text) <= longest
            assert text.isprintable()
        assert decode(encode(got), arrival_ms=ARRIVAL) == got


@fuzzed()
@given(st.binary(max_size=400), headers)
def test_arbitrary_bytes(value: bytes, some_headers: Headers) -> None:
    holds(value, some_headers)


@fuzzed()
@given(trees.map(text_of), headers)
def test_arbitrary_json(value: bytes, some_headers: Headers) -> None:
    holds(value, some_headers)


@fuzzed()
@given(changed_events(), headers)
def test_events_with_fields_changed(value: bytes, some_headers: Headers) -> None:
    holds(value, some_headers)


@fuzzed()
@given(damaged_events(), headers)
def test_events_with_bytes_changed(value: bytes, some_headers: Headers) -> None:
    holds(value, some_headers)
