"""The laws of the record: repetition, order and grouping of events are nothing; an erase cuts in any order."""

from __future__ import annotations

import random
from functools import reduce

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.events import Interaction
from recsys.record import EMPTY, MAX_FLOWS, Record, RecordRules, State, join, join_flow, record_of
from recsys.vocabulary import FLOWS, VOCABULARY, Kind
from tests.doubles.record_events import TIMES, events

RULES = RecordRules()
DAY = LANDMARK_MS + 100 * MS_PER_DAY
histories = st.lists(events(), max_size=40)


def event(kind: str, at_ms: int = DAY, value: float | None = None) -> Interaction:
    return Interaction("e", "u", "c", kind, at_ms, value)  # type: ignore[arg-type]


def state(at_ms: int, value: float | None = None, *, entered: bool = True) -> State:
    return State(entered, at_ms, value)


def folded(history: list[Interaction]) -> Record:
    return reduce(join, (record_of(each, RULES) for each in history), EMPTY)


records = histories.map(folded)


@given(records, records, records)
def test_the_three_laws_of_a_join(one: Record, two: Record, three: Record) -> None:
    assert join(one, two) == join(two, one)
    assert join(join(one, two), three) == join(one, join(two, three))
    assert join(one, one) == one
    assert join(one, EMPTY) == join(EMPTY, one) == one


@given(records, TIMES, st.integers(-30, 8000))
def test_joining_one_flow_is_the_join(one: Record, touch_ms: int, flow: int) -> None:
    joined = join_flow(one, touch_ms, flow)
    assert joined == join(one, Record(touch_ms, (flow,)))
    assert (joined is one) == (joined == one)


@given(st.lists(st.tuples(TIMES, st.integers(0, 40)), max_size=60))
def test_flows_joined_one_by_one_are_the_largest(events_of_a_course: list[tuple[int, int]]) -> None:
    one = reduce(lambda record, each: join_flow(record, *each), events_of_a_course, EMPTY)
    assert one.flows == tuple(sorted({flow for _, flow in events_of_a_course}, reverse=True)[:MAX_FLOWS])


def test_a_full_set_of_flows_takes_a_larger_one_in_the_middle_and_no_smaller_one() -> None:
    full = Record(1, tuple(range(2 * MAX_FLOWS, 0, -2)))
    assert join_flow(full, 1, 5).flows == (*full.flows[:-2], 5, 4)
    assert join_flow(full, 1, 1) is full


@given(histories, st.randoms(use_true_random=False), st.integers(0, 40))
def test_any_order_with_repeats_split_and_joined_is_the_same_record(
    history: list[Interaction], rng: random.Random, cut: int
) -> None:
    again = [*history, *rng.choices(history, k=len(history) // 2)] if history else []
    again = [msgspec.structs.replace(each, event_id=str(number)) for number, each in enumerate(again)]
    rng.shuffle(again)
    assert folded(again) == folded(history)
    assert join(folded(again[:cut]), folded(again[cut:])) == folded(history)


@given(histories)
def test_a_record_is_what_its_events_say(history: list[Interaction]) -> None:
    """Computed once more from all events at once, without joining."""
    record = folded(history)
    flows = {(RULES.bucket(each.timestamp), FLOWS.index(each.type)) for each in history if each.type in FLOWS}
    kept = sorted(flows, reverse=True)[:MAX_FLOWS]
    assert record.flows == tuple(bucket * 3 + kind for bucket, kind in kept)
    assert record.touch_ms == max((each.timestamp for each in history), default=0)
    for state, got in record.states.items():
        rows = {kind: row.kind for kind, row in VOCABULARY.items() if row.state == state}
        told = [each for each in history if each.type in rows]
        latest = max(told, key=lambda each: (each.timestamp, rows[each.type] is Kind.OPPOSITE, each.value or 0.0))
        assert (got.entered, got.at_ms) == (rows[latest.type] is Kind.STATE, latest.timestamp)
        assert got.value == (latest.value if latest.type == "rate" else None)
    reached = [(RULES.quarter(each.value or 0), -each.timestamp) for each in history if each.type == "progress"]
    best = max([one for one in reached if one[0]], default=(0, 0))
    assert (record.quarter, record.reached_ms) == (best[0], -best[1])


def test_flows_of_one_bucket_count_once_and_the_largest_are_kept() -> None:
    assert folded([event("click", DAY), event("click", DAY + 1), event("click", DAY + MS_PER_DAY - 1)]).flows == (301,)
    three = folded([event(kind, DAY) for kind in ("play", "view", "click")])
    assert three.flows == (302, 301, 300)
    daily = folded([event("view", DAY + day * MS_PER_DAY) for day in range(40)])
    assert len(daily.flows) == MAX_FLOWS
    assert daily.flows[-1] == (100 + 40 - MAX_FLOWS) * 3


def test_at_one_instant_leaving_wins_over_entering_and_then_the_larger_rating() -> None:
    assert folded([event("unenroll"), event("enroll")]).states["enroll"] == state(DAY, entered=False)
    assert folded([event("unenroll"), event("enroll", DAY + 1)]).states["enroll"] == State(
        entered=True, at_ms=DAY + 1, value=None
    )
    assert folded([event("rate", value=5.0), event("rate", value=2.0)]).states["rate"] == State(
        entered=True, at_ms=DAY, value=5.0
    )
    assert folded([event("rate", DAY + 1, 2.0), event("rate", value=5.0)]).states["rate"] == State(
        entered=True, at_ms=DAY + 1, value=2.0
    )


def test_progress_is_the_highest_quarter_and_when_it_was_first_reached() -> None:
    one = folded([event("progress", DAY + hour, value) for hour, value in enumerate([0.3, 0.6, 0.7, 0.55, 0.2])])
    assert (one.quarter, one.reached_ms) == (2, DAY + 1)
    assert folded([event("progress", value=0.9)]).quarter == 4, "a completed course, by `done_progress`"
    assert folded([event("progress", value=0.24)]) == Record(DAY), "a touch, and no quarter"


@given(records, records, TIMES)
def test_an_erase_cuts_a_join_as_it_cuts_its_parts(one: Record, two: Record, until: int) -> None:
    whole, parts = RULES.without(join(one, two), until), join(RULES.without(one, until), RULES.without(two, until))
    assert (whole.touch_ms, whole.flows, whole.registers) == (parts.touch_ms, parts.flows, parts.registers)
    # The exception that `without` documents: progress that was reached before the erase and reported again after it.
    assert (whole.quarter, whole.reached_ms) in {(parts.quarter, parts.reached_ms), (0, 0)}


@given(histories, TIMES)
def test_after_an_erase_nothing_of_the_time_before_is_left(history: list[Interaction], until: int) -> None:
    left = RULES.without(folded(history), until)
    assert left.touch_ms == 0 or left.touch_ms > until
    assert all(flow // 3 > RULES.bucket(until) for flow in left.flows)
    assert all(state.at_ms > until for state in left.states.values())
    assert left.reached_ms == 0 or left.reached_ms > until
    assert RULES.without(left, until) == left
    if all(each.timestamp <= until for each in history):
        assert left == EMPTY


def test_an_erase_and_an_event_of_the_same_day_give_the_same_in_either_order() -> None:
    later = folded([event("click", DAY + 1000), event("enroll", DAY + 1000)])
    assert RULES.without(later, DAY).flows == ()
    assert RULES.without(later, DAY).states == {"enroll": state(DAY + 1000)}
