"""Learners who turn to another subject: who they are, what they click on, and which list is shown of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import pandas as pd
import pytest

from infra.devtools.live_learner import Answer
from infra.devtools.taste_shift import (
    CLICKS_OF_EACH,
    COURSES_OF_SHIFT,
    choose_others,
    clicks_of_others,
    popular_now,
    tuned_list,
)
from recsys.errors import ServiceUnavailable

LATE = 10**12


def catalogue() -> pd.DataFrame:
    ids = [f"{subject}{number}" for subject in "ab" for number in range(10)]
    return pd.DataFrame({"course_id": ids, "category": [each[0] for each in ids], "retired": [False] * 9 + [True] * 11})


def touches(**courses: str) -> pd.DataFrame:
    rows = [(user, course) for user, listed in courses.items() for course in listed.split()]
    return pd.DataFrame(rows, columns=["user_id", "course_id"])


HISTORY = touches(me="a0 a1 b0", half="a0 a1 a2 b0 b1 b2", whole="a0 a1 a2 a3 a4", few="a0 a1", none="b0 b1 b2 b3 b4")


def test_the_others_have_a_history_in_the_subject_that_the_learner_touched_most() -> None:
    assert choose_others(HISTORY, catalogue(), "me", learners=10) == ["whole", "half"]


def test_a_fifth_of_the_learners_turns_at_most() -> None:
    assert choose_others(HISTORY, catalogue(), "me", learners=9) == ["whole"]


def test_each_of_the_others_clicks_once_on_most_of_the_same_few_courses_of_the_subject_in_turns() -> None:
    users = ["u", "v", "w"]
    clicks = clicks_of_others(catalogue(), users, ["a3", "a7"], LATE)
    assert Counter(each.user_id for each in clicks) == dict.fromkeys(users, CLICKS_OF_EACH)
    assert [each.user_id for each in clicks[:6]] == users * 2
    assert len({(each.user_id, each.course_id) for each in clicks}) == len(clicks)
    offered = {each.course_id for each in clicks}
    assert {"a3", "a7"} < offered
    assert offered <= {"a3", "a7", "a0", "a1", "a2", "a4", "a5", "a6"}
    assert len(offered) <= COURSES_OF_SHIFT
    assert max(each.at_ms for each in clicks) == LATE
    assert [each.at_ms for each in clicks] == sorted({each.at_ms for each in clicks})


def test_a_subject_of_few_courses_gives_fewer_clicks_and_never_a_retired_course() -> None:
    few = catalogue().query("course_id in ['a0', 'a1', 'a9']")
    assert {each.course_id for each in clicks_of_others(few, ["u"], ["a0"], LATE)} == {"a0", "a1"}


class Listed:
    """A learner whose list is of the new model once they acted so often."""

    def __init__(self, *, after: int = 0) -> None:
        self._after = after
        self.acts: list[tuple[str, str]] = []

    def act(self, course_ids: Iterable[str], kind: str) -> None:
        self.acts += [(kind, each) for each in course_ids]

    def ask(self) -> Answer:
        return Answer(("x",), ("X",), "new" if len(self.acts) >= self._after else "old", "cached")

    settled = ask


def test_a_look_at_a_course_has_the_list_ranked_by_what_is_popular_now() -> None:
    listed = Listed(after=1)
    assert popular_now(cast("Any", listed), "c", since=0.0, seconds=0.0).model == "new"
    assert listed.acts == [("view", "c")]


def test_the_learner_looks_at_courses_until_the_list_is_of_the_increment() -> None:
    listed = Listed(after=3)
    versions = iter(["between", "new", "new", "new"])  # another increment is published meanwhile
    assert tuned_list(cast("Any", listed), ["c", "d"], lambda: next(versions), acts_every_s=0.0).model == "new"
    assert listed.acts == [("view", "c"), ("view", "d"), ("play", "c")]


def test_a_list_that_is_of_the_model_already_is_shown_as_it_is() -> None:
    listed = Listed()
    tuned_list(cast("Any", listed), ["c"], lambda: "new")
    assert listed.acts == []


def test_a_list_that_does_not_follow_an_increment_is_told() -> None:
    with pytest.raises(ServiceUnavailable, match=r"no list was ranked by new 0\.1 s after it was published"):
        tuned_list(cast("Any", Listed(after=10**9)), ["c"], lambda: "new", seconds=0.1)
