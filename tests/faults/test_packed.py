"""The oracle's record and its reader of packed bytes agree with `recsys.record`, which shares no code with them."""

from __future__ import annotations

import struct

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.events import Interaction
from recsys.record import EMPTY, Record, RecordRules, join, record_of
from tests.doubles.engagement_oracle import expected_scores, expected_trending
from tests.faults.packed import unpacked
from tests.faults.pairs import DAY_MS, LANDMARK_MS, Pair, pair_of

RULES = RecordRules()
COLUMNS = ["user_id", "course_id", "type", "timestamp", "value"]
KINDS = (
    *("view", "click", "play", "progress", "bookmark", "enroll", "complete", "rate", "dismiss"),
    *("unbookmark", "unenroll", "uncomplete", "unrate", "undismiss"),
)
TIMES = st.integers(LANDMARK_MS - 400 * DAY_MS, LANDMARK_MS + 400 * DAY_MS) | st.integers(0, 90).map(
    lambda day: LANDMARK_MS + day * DAY_MS
)


@st.composite
def interactions(draw: st.DrawFn) -> Interaction:
    kind = draw(st.sampled_from(KINDS))
    values = {"progress": st.floats(0, 1), "rate": st.integers(1, 5).map(float)}
    return Interaction("e", "u", "c", kind, draw(TIMES), draw(values.get(kind, st.none())))  # type: ignore[arg-type]


def both(events: list[Interaction]) -> tuple[Pair, Record]:
    pair, record = Pair(), EMPTY
    for event in events:
        pair, record = pair.joined(pair_of(event)), join(record, record_of(event, RULES))
    return pair, record


@given(st.lists(interactions(), min_size=1, max_size=60))
def test_the_same_record_the_same_scores_and_the_same_bytes(events: list[Interaction]) -> None:
    pair, record = both(events)
    stored = unpacked(RULES.packed(record))
    total = pair.engagement()
    assert stored.pair == pair
    assert stored.engagement == pytest.approx(total.value, rel=1e-12, abs=1e-13 * total.size)
    assert RULES.trend(record) == pytest.approx(pair.trend(), rel=1e-12)
    assert RULES.done_until(record) == pair.done_until()


@given(st.lists(interactions(), max_size=30), TIMES)
def test_the_same_is_left_of_an_erasure(events: list[Interaction], until_ms: int) -> None:
    pair, record = both(events)
    left = RULES.without(record, until_ms)
    assert bool(pair.without(until_ms)) == (left != EMPTY)
    if left != EMPTY:
        assert unpacked(RULES.packed(left)).pair == pair.without(until_ms)


@given(st.lists(interactions(), max_size=30), st.lists(interactions(), max_size=30))
def test_the_join_of_two_records_is_the_record_of_all_events(one: list[Interaction], other: list[Interaction]) -> None:
    assert both(one)[0].joined(both(other)[0]) == both([*one, *other])[0]


@given(st.lists(interactions(), min_size=1, max_size=60))
def test_pandas_gives_the_same_scores(events: list[Interaction]) -> None:
    pair, _ = both(events)
    frame = pd.DataFrame([[e.user_id, e.course_id, e.type, e.timestamp, e.value] for e in events], columns=COLUMNS)
    total = pair.engagement()
    assert expected_scores(frame, LANDMARK_MS) == {
        ("u", "c"): pytest.approx(total.value, rel=1e-12, abs=1e-13 * total.size)
    }
    trend = pair.trend()
    assert expected_trending(frame) == ({"c": pytest.approx(trend, rel=1e-12)} if trend else {})


@pytest.mark.parametrize("value", [b"", struct.pack("<d", 1.0), struct.pack("<d", 1.0) + b"\x02\x92\x00\x00"])
def test_what_is_no_record_of_this_version_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="version"):
        unpacked(value)
