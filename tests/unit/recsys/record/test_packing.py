"""The packed record: exact, small, its engagement readable without decoding, and never a wrong value."""

from __future__ import annotations

from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.errors import UnreadableState
from recsys.events import Interaction
from recsys.record import EMPTY, Record, RecordRules, engagement_of, join, pack, record_of, unpack
from tests.doubles.record_events import events

RULES = RecordRules()
NOW = LANDMARK_MS + 2500 * MS_PER_DAY + 12_345_678
TYPICAL_BYTES = 64
"""What keeps a learner's hash in Redis' compact form (`hash-max-listpack-value`)."""


def record(*history: tuple[Any, ...]) -> Record:
    made = [Interaction("e", "u", "c", kind, at_ms, *value) for kind, at_ms, *value in history]
    return reduce(join, (record_of(each, RULES) for each in made), EMPTY)


@given(st.lists(events(), max_size=40))
def test_a_packed_record_is_the_record(history: list[Interaction]) -> None:
    one = reduce(join, (record_of(each, RULES) for each in history), EMPTY)
    packed = RULES.packed(one)
    assert unpack(packed) == one
    assert engagement_of(packed) == RULES.engagement(one)
    assert pack(unpack(packed), RULES.engagement(one)) == packed


def test_a_pair_takes_as_many_bytes_as_the_budget_allows() -> None:
    one = record(("click", NOW))
    some = record(("view", NOW - 3 * MS_PER_DAY), ("click", NOW), ("play", NOW), ("enroll", NOW - 60_000))
    some = join(some, record(("progress", NOW, 0.5)))
    busy = record(*[("play", NOW - day * MS_PER_DAY) for day in range(24)], ("enroll", NOW - 30 * MS_PER_DAY))
    assert len(RULES.packed(one)) == 23
    assert len(RULES.packed(some)) <= 36
    assert len(RULES.packed(busy)) <= TYPICAL_BYTES
    most = record(
        *[("play", NOW - 400 * day * MS_PER_DAY) for day in range(24)],
        *[(kind, NOW - 3000 * MS_PER_DAY) for kind in ("bookmark", "enroll", "complete", "dismiss")],
        ("rate", NOW - 3000 * MS_PER_DAY, 4.321),
        ("progress", NOW - 3000 * MS_PER_DAY, 0.5),
    )
    assert len(RULES.packed(most)) <= 176


@pytest.mark.parametrize("value", [1.0, 4.5, 3.35, 1.0000000000000002, 4.321, 5.0])
def test_a_rating_is_kept_exactly(value: float) -> None:
    assert unpack(RULES.packed(record(("rate", NOW, value)))).states["rate"].value == value


def test_a_record_of_a_newer_release_is_named_as_such() -> None:
    packed = RULES.packed(record(("click", NOW)))
    with pytest.raises(UnreadableState, match=r"newer release \(record version 2; this release reads 1\)"):
        unpack(packed[:8] + b"\2" + packed[9:], "k")


def array(*numbers: object) -> bytes:
    return bytes(8) + b"\1" + msgspec.msgpack.encode(list(numbers))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(8), id="a double of the release before"),
        pytest.param(bytes(9), id="version 0"),
        pytest.param(bytes(8) + b"\1", id="no body"),
        pytest.param(array(), id="an empty array"),
        pytest.param(array(1), id="no count"),
        pytest.param(array(1, 2, 5), id="fewer flows than said"),
        pytest.param(array(1, 25, *[1] * 25), id="more flows than a record holds"),
        pytest.param(array(1, -1), id="a negative count"),
        pytest.param(array(1, 0, 2), id="a state without its time"),
        pytest.param(array(1, 0, 6, 0), id="a rating without its value"),
        pytest.param(array(1, 0, 99, 0), id="a code of no state"),
        pytest.param(array(1, 0, 10, 0), id="progress of no quarter"),
        pytest.param(array(1.5, 0), id="no integers"),
        pytest.param(array("x", 0), id="text"),
        pytest.param(array(1, 0) + b"\0", id="bytes after the end"),
    ],
)
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadableState, match="k"):
        unpack(value, "k")


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(tail: bytes) -> None:
    for value in (tail, bytes(8) + b"\1" + tail):
        try:
            got = unpack(value)
        except UnreadableState:
            continue
        assert isinstance(got, Record)
