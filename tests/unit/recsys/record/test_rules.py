"""The scores of a record: forward-decayed sums of its contributions, and until when its course is done."""

from __future__ import annotations

from functools import reduce
from math import exp2
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS, MS_PER_DAY, EngagementWeights
from recsys.errors import ConfigurationError
from recsys.events import Interaction
from recsys.record import EMPTY, FOREVER_MS, Record, RecordRules, join, record_of
from recsys.record.rules import REMEMBERED_FLOWS, _Memo
from recsys.vocabulary import DEFAULT_WEIGHTS, VOCABULARY, Kind
from tests.doubles.record_events import TIMES, events

RULES = RecordRules()
DAY = LANDMARK_MS + 90 * MS_PER_DAY
HOUR = 3_600_000
OPPOSITES = {
    entering: leaving
    for entering, one in VOCABULARY.items()
    for leaving, other in VOCABULARY.items()
    if one.kind is Kind.STATE and other.kind is Kind.OPPOSITE and one.state == other.state
}


def record(*history: tuple[Any, ...]) -> Record:
    made = [Interaction("e", "u", "c", kind, at_ms, *value) for kind, at_ms, *value in history]
    return reduce(join, (record_of(each, RULES) for each in made), EMPTY)


def test_a_flow_counts_from_the_first_instant_of_its_bucket() -> None:
    one = record(("click", DAY + 5 * HOUR), ("click", DAY + 20 * HOUR))
    assert RULES.engagement(one) == pytest.approx(5 * exp2(90 / 30), rel=1e-15)
    assert RULES.trend(one) == pytest.approx(5 * exp2(90 / 10), rel=1e-15)
    assert RULES.engagement(one) == RULES.engagement(record(("click", DAY)))


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([("enroll", 0), ("complete", 1), ("bookmark", 2)], 10 + 12 + 4),
        ([("rate", 0, 5.0)], 6),
        ([("rate", 0, 1.0)], -6),
        ([("rate", 0, 5.0), ("rate", 1, 3.0)], 0),
        ([("progress", 0, 0.25)], 2),
        ([("progress", 0, 0.25), ("progress", 1, 0.8)], 6),
        ([("progress", number, number / 300) for number in range(301)], 8),
        ([("dismiss", 0)], -5),
        ([("enroll", 0), ("unenroll", 1)], -10),
        ([("unenroll", 0), ("enroll", 1)], 10),
    ],
)
def test_the_sum_of_what_holds(history: list[tuple[Any, ...]], expected: float) -> None:
    at_landmark = record(*[(kind, LANDMARK_MS + ms, *value) for kind, ms, *value in history])
    assert RULES.engagement(at_landmark) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("entering", "leaving"), OPPOSITES.items())
@given(st.lists(events(["view", "click", "play", "progress"]), max_size=5), TIMES)
def test_an_event_and_its_opposite_leave_no_contribution(
    entering: str, leaving: str, history: list[Interaction], at_ms: int
) -> None:
    neutral = RecordRules(weights=EngagementWeights({**DEFAULT_WEIGHTS, leaving: 0.0}))
    before = reduce(join, (record_of(each, RULES) for each in history), EMPTY)
    after = join(before, record((entering, at_ms, 5.0), (leaving, at_ms + 1)))
    assert neutral.engagement(after) == neutral.engagement(before)
    assert RULES.trend(after) == RULES.trend(before)


@given(st.lists(events(), max_size=30))
def test_scores_are_the_sum_over_contributions_and_trend_never_negative(history: list[Interaction]) -> None:
    whole = reduce(join, (record_of(each, RULES) for each in history), EMPTY)
    parts = [Record(whole.touch_ms, (flow,)) for flow in whole.flows]
    parts += [Record(whole.touch_ms, (), (register,)) for register in whole.registers]
    parts += [Record(whole.touch_ms, (), (), whole.quarter, whole.reached_ms)]
    summed = sum(RULES.engagement(part) for part in parts)
    size = sum(abs(RULES.engagement(part)) for part in parts)
    assert RULES.engagement(whole) == pytest.approx(summed, rel=1e-12, abs=1e-12 * size)
    assert RULES.trend(whole) == pytest.approx(sum(max(0.0, RULES.trend(part)) for part in parts), rel=1e-12)
    assert RULES.trend(whole) >= 0
    assert sum(trend for _, trend in RULES.liked(whole)) == pytest.approx(RULES.trend(whole), rel=1e-12)
    if whole == EMPTY:
        assert (RULES.engagement(whole), RULES.trend(whole), RULES.liked(whole)) == (0.0, 0.0, [])


@pytest.mark.parametrize(
    ("history", "until"),
    [
        ([("view", 0), ("bookmark", 1), ("rate", 2, 5.0)], None),
        ([("enroll", 0)], FOREVER_MS),
        ([("enroll", 0), ("unenroll", 5)], 5 + 30 * MS_PER_DAY),
        ([("unenroll", 5), ("enroll", 6)], FOREVER_MS),
        ([("complete", 0)], FOREVER_MS),
        ([("complete", 0), ("uncomplete", 1)], None),
        ([("complete", 0), ("enroll", 0), ("unenroll", 1)], FOREVER_MS),
        ([("dismiss", 0)], FOREVER_MS),
        ([("dismiss", 0), ("undismiss", 1)], None),
        ([("progress", 0, 0.9)], FOREVER_MS),
        ([("progress", 0, 0.89)], None),
    ],
)
def test_until_when_a_course_is_done(history: list[tuple[Any, ...]], until: int | None) -> None:
    one = record(*[(kind, DAY + ms, *value) for kind, ms, *value in history])
    assert RULES.done_until(one) == (until if until in (None, FOREVER_MS) else DAY + until)


def test_the_threshold_of_completion_and_the_bucket_are_settings() -> None:
    rules = RecordRules(done_progress=0.6, bucket_ms=HOUR, give_back_ms=7)
    assert [rules.quarter(value) for value in (0.0, 0.24, 0.25, 0.59, 0.6, 1.0)] == [0, 0, 1, 2, 4, 4]
    clicks = [record_of(Interaction("e", "u", "c", "click", DAY + ms), rules) for ms in (0, HOUR - 1, HOUR)]
    assert len(reduce(join, clicks, EMPTY).flows) == 2
    assert rules.done_until(record(("unenroll", DAY))) == DAY + 7
    with pytest.raises(ConfigurationError, match="at least 1 ms"):
        RecordRules(bucket_ms=0)


def test_control_events_have_no_record() -> None:
    assert record_of(Interaction("e", "u", "", "erase", DAY), RULES) == EMPTY
    assert record_of(Interaction("e", "u", "", "merge", DAY, into="v"), RULES) == EMPTY


def test_what_is_remembered_of_flows_is_bounded() -> None:
    remembered = _Memo(float)
    for flow in range(REMEMBERED_FLOWS + 1):
        assert remembered[flow] == flow
    assert len(remembered) <= REMEMBERED_FLOWS
