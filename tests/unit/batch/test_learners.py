"""Merged learners are one; what was erased is in no history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from batch.encoding import EngagementRule, encode
from batch.history import History
from batch.learners import settle
from batch.preparation import prepare
from batch.records import contributions
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS
from recsys.record import RecordRules

DAY = 86_400_000
RULES = RecordRules()
NOW = 1_710_000_000_000


def _history(*rows: tuple[str, str, float, str]) -> pd.DataFrame:
    """Learner, type, day; then the course, or whom the learner is merged into."""
    controls = ("merge", "erase")
    columns = {
        "event_id": [f"e{number}" for number in range(len(rows))],
        "user_id": [user for user, *_ in rows],
        "course_id": ["" if kind in controls else last for _, kind, _, last in rows],
        "type": [kind for _, kind, _, _ in rows],
        "timestamp": [LANDMARK_MS + int(day * DAY) for _, _, day, _ in rows],
        "value": np.nan,
        "session_id": None,
        "user_agent": None,
        "into": [last if kind == "merge" else None for _, kind, _, last in rows],
    }
    return pd.DataFrame(columns)


def _left(*rows: tuple[str, str, float, str]) -> list[tuple[str, str]]:
    """Learner and course of the events that are left, in any order."""
    events = settle(_history(*rows), RULES).events
    return sorted(zip(events["user_id"], events["course_id"], strict=True))


def test_a_merged_learners_events_are_the_others_whenever_they_came() -> None:
    rows = [("anonymous", "click", 1, "c1"), ("anonymous", "merge", 2, "ada"), ("ada", "click", 3, "c2")]
    late = ("anonymous", "click", 9, "c3")
    assert _left(*rows, late) == [("ada", "c1"), ("ada", "c2"), ("ada", "c3")]
    assert _left(late, *reversed(rows)) == _left(*rows, late)


def test_merges_follow_each_other() -> None:
    clicks = [(user, "click", 1.0, user) for user in ("a", "b", "c")]
    assert _left(*clicks, ("a", "merge", 3, "b"), ("b", "merge", 2, "c")) == [("c", "a"), ("c", "b"), ("c", "c")]


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_circle_the_smallest_id_keeps_the_records(order: int) -> None:
    clicks = [(user, "click", 1.0, user) for user in ("c", "b", "d", "e")]
    merges = [("c", "merge", 2.0, "d"), ("d", "merge", 3.0, "b"), ("b", "merge", 4.0, "c"), ("e", "merge", 5.0, "d")]
    assert _left(*clicks, *merges[::order]) == [("b", "b"), ("b", "c"), ("b", "d"), ("b", "e")]


def test_of_two_merges_of_a_learner_each_holds_from_its_time_on() -> None:
    clicks = [("a", "click", float(day), f"c{day}") for day in (1, 3, 5)]
    assert _left(*clicks, ("a", "merge", 4, "d"), ("a", "merge", 2, "b")) == [("b", "c1"), ("b", "c3"), ("d", "c5")]


def test_what_came_up_to_an_erasure_is_gone_and_what_comes_later_counts() -> None:
    rows = [("ada", "enroll", day, f"c{day}") for day in (1, 2, 3)] + [("bob", "enroll", 1, "c1")]
    assert _left(*rows, ("ada", "erase", 2, "")) == [("ada", "c3"), ("bob", "c1")]


def test_of_flows_of_the_erasures_day_a_touch_is_left_and_states_count() -> None:
    rows = [("ada", "click", 2.4, "c0"), ("ada", "click", 2.9, "c1"), ("ada", "enroll", 2.9, "c2")]
    found = settle(_history(*rows, ("ada", "click", 3.1, "c3"), ("ada", "erase", 2.5, "")), RULES).events
    assert found["course_id"].tolist() == ["c1", "c2", "c3"]
    pair = np.arange(3)
    assert contributions(pair, found, RULES).weight.tolist() == [0.0, 10.0, 5.0]


@pytest.mark.parametrize(("day", "left"), [(1.5, ["c2", "c3"]), (2.5, ["c3"])])
def test_an_erasure_after_a_merge_is_one_of_both(day: float, left: list[str]) -> None:
    """Before the merge it takes what was done under that id; after it the two are one learner."""
    rows = [("old", "enroll", 1.0, "c1"), ("ada", "enroll", 1.0, "c2"), ("ada", "enroll", 3.0, "c3")]
    assert [course for _, course in _left(*rows, ("old", "merge", 2, "ada"), ("old", "erase", day, ""))] == left


def test_an_erasure_of_the_learner_merged_into_takes_the_others_events_with_it() -> None:
    rows = [("old", "enroll", 1.0, "c1"), ("ada", "enroll", 3.0, "c3"), ("old", "merge", 4, "ada")]
    assert _left(*rows, ("ada", "erase", 2, "")) == [("ada", "c3")]


def test_an_erased_and_a_merged_learner_have_no_row_in_what_is_trained_on(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule
) -> None:
    control = _history(("l0", "erase", 0, ""), ("l1", "merge", 0, "l2")).assign(timestamp=NOW - 1)
    prepared = prepare(History(pd.concat([events, control]), tuple(courses), "topic"), at_ms=NOW)
    assert (prepared.account.control, prepared.account.erased) == (2, int((events["user_id"] == "l0").sum()))
    users = encode(prepared.events, prepared.courses, rule).users
    assert set(events["user_id"]) - set(users) == {"l0", "l1"}


def test_a_history_without_control_events_is_left_alone(events: pd.DataFrame) -> None:
    assert settle(events, RULES).events is events
