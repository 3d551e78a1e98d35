"""A history folded on columns holds at every instant what the records of its events hold."""

from __future__ import annotations

from functools import reduce
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import build_cases
from batch.examples import tower_examples
from batch.popularity import decayed_popularity
from batch.ranking.likes import liked_matrix
from batch.ranking.snapshots import snapshot
from batch.records import contributions
from batch.split import split_at
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, EngagementWeights, ForwardDecay
from recsys.events import Interaction
from recsys.exclusion import Exclusion
from recsys.model.hyperparameters import HyperParameters
from recsys.record import EMPTY, RecordRules, join, record_of
from recsys.vocabulary import CONTROL, DEFAULT_WEIGHTS, VOCABULARY

HOUR = 3_600_000
RULES = RecordRules(
    weights=EngagementWeights({name: 1.0 + place for place, name in enumerate(DEFAULT_WEIGHTS)}),
    decay=ForwardDecay(7.5),
    bucket_ms=HOUR,
    give_back_ms=5 * HOUR,
)
"""Every type has a weight of its own, so that no two records weigh the same by chance."""

COURSES = [Course(course_id="c1", title="a"), Course(course_id="c2", title="b")]
TYPES = [name for name in VOCABULARY if name not in CONTROL]
TIMES = st.integers(-2, 60).map(lambda half_hours: LANDMARK_MS + half_hours * HOUR // 2)


@st.composite
def interactions(draw: st.DrawFn) -> Interaction:
    kind = draw(st.sampled_from([*TYPES, "click", "view"]))
    values = {"progress": st.sampled_from([0.0, 0.24, 0.25, 0.6, 0.75, 0.9, 1.0]), "rate": st.sampled_from([1.0, 4.5])}
    value = draw(values[kind]) if kind in values else None
    user, course = draw(st.sampled_from(["ada", "bob"])), draw(st.sampled_from(["c1", "c2"]))
    return Interaction(draw(st.uuids()).hex, user, course, kind, draw(TIMES), value)  # type: ignore[arg-type]  # kinds come from the vocabulary


def frame_of(events: list[Interaction]) -> pd.DataFrame:
    names = ("user_id", "course_id", "type", "timestamp", "value")
    rows = [[getattr(event, name) for name in names] for event in events]
    return pd.DataFrame(rows, columns=list(names)).astype({"timestamp": "int64", "value": "float64"})


PAIRS = [("ada", "c1"), ("ada", "c2"), ("bob", "c1"), ("bob", "c2")]


def _assert_equal(events: list[Interaction], instants: list[int]) -> None:
    """The contributions held at each instant weigh, end and touch what the records of the events before it do."""
    pair = np.array([PAIRS.index((event.user_id, event.course_id)) for event in events], np.int64)
    found = contributions(pair, frame_of(events), RULES)
    for at_ms in instants:
        held = (found.time < at_ms) & (found.until >= at_ms)
        engagement = found.weight * np.exp2((found.counted - LANDMARK_MS) * RULES.decay.per_ms)
        for number, place in enumerate(PAIRS):
            past = [each for each in events if (each.user_id, each.course_id) == place and each.timestamp < at_ms]
            record = reduce(join, [record_of(each, RULES) for each in past], EMPTY)
            mine = held & (found.pair == number)
            assert engagement[mine].sum() == pytest.approx(RULES.engagement(record), rel=1e-12, abs=1e-12)
            assert (found.done_until[mine].max(initial=0) or None) == RULES.done_until(record)
            assert bool(((found.time < at_ms) & (found.pair == number)).any()) == bool(past)


@given(st.lists(interactions(), max_size=60), st.lists(TIMES, min_size=1, max_size=4))
def test_a_fold_on_columns_equals_the_records_at_every_instant(events: list[Interaction], instants: list[int]) -> None:
    _assert_equal(events, [*instants, LANDMARK_MS + 99 * HOUR])


@given(st.randoms(use_true_random=False))
def test_flows_beyond_those_a_record_keeps_are_pushed_out_when_it_pushes_them_out(random: Random) -> None:
    events = [
        Interaction(
            "e", "ada", "c1", random.choice(("view", "click", "play")), LANDMARK_MS + random.randrange(40 * HOUR)
        )
        for _ in range(90)
    ]
    _assert_equal(events, [LANDMARK_MS + hours * HOUR + 7 for hours in range(8, 42, 3)])


@given(st.lists(interactions(), max_size=40), st.randoms(use_true_random=False))
def test_order_and_repeats_with_other_ids_change_nothing(events: list[Interaction], random: Random) -> None:
    again = [*events, *events[::2]]
    random.shuffle(again)
    one, other = (encode(frame_of(some), COURSES, _rule()) for some in (events, again))
    assert one.users == other.users
    for name in ("user", "course", "time", "until", "counted", "weight", "done_until"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def _rule() -> EngagementRule:
    return EngagementRule(EngagementWeights(DEFAULT_WEIGHTS), ForwardDecay(30.0), Exclusion())


def test_ends_lie_after_begins_and_times_do_not_fall() -> None:
    events = [Interaction("e", "ada", "c1", "enroll", LANDMARK_MS + at) for at in (5, 5, 3, 9)]
    left = Interaction("e", "ada", "c1", "unenroll", LANDMARK_MS + 9)
    encoded = encode(frame_of([*events, left]), COURSES, _rule())
    assert (encoded.time - LANDMARK_MS).tolist() == [3, 5, 9]
    assert encoded.weight.tolist() == [10.0, 10.0, -10.0]
    assert encoded.until.tolist() == [*encoded.time[1:], encoded.until[-1]]
    assert [len(encoded.liked(LANDMARK_MS + at)) for at in (3, 4, 9, 10)] == [0, 1, 1, 0]


DAY = 24 * HOUR
TABLE = [  # ada enrols in c1 and leaves it; bob clicks c2, enrols in c1, leaves it and enrols again
    ("ada", "c1", "click", 10),
    ("ada", "c2", "click", 11),
    ("ada", "c1", "enroll", 12),
    ("ada", "c1", "unenroll", 20),
    ("bob", "c2", "click", 11),
    ("bob", "c1", "enroll", 13),
    ("bob", "c1", "unenroll", 14),
    ("bob", "c1", "enroll", 15),
]


def _on_days(table: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    rows = [(user, course, kind, LANDMARK_MS + day * DAY + HOUR, np.nan) for user, course, kind, day in table]
    return pd.DataFrame(rows, columns=["user_id", "course_id", "type", "timestamp", "value"])


def _likes(table: list[tuple[str, str, str, int]]) -> set[tuple[str, str]]:
    encoded = encode(_on_days(table), COURSES, _rule())
    cells = np.argwhere(liked_matrix(encoded, np.inf).toarray() > 0)
    counts = decayed_popularity(encoded, int(encoded.time[-1]), np.inf)
    assert counts.sum() >= len(cells)
    return {(encoded.users[user], encoded.courses[course].course_id) for user, course in cells}


def test_a_course_is_no_positive_once_it_was_left_but_for_what_else_was_done_with_it() -> None:
    assert _likes(TABLE) == {("ada", "c1"), ("ada", "c2"), ("bob", "c1"), ("bob", "c2")}
    without_clicks = [row for row in TABLE if row[1:3] != ("c1", "click")]
    assert _likes(without_clicks) == {("ada", "c2"), ("bob", "c1"), ("bob", "c2")}
    assert _likes(without_clicks[:-1]) == {("ada", "c2"), ("bob", "c2")}


def test_a_course_left_again_is_neither_label_nor_counted_as_popular() -> None:
    encoded = encode(_on_days(TABLE), COURSES, _rule())
    at_ms, end = LANDMARK_MS + 12 * DAY, LANDMARK_MS + 30 * DAY
    for until, labelled in ((LANDMARK_MS + 14 * DAY, True), (LANDMARK_MS + 15 * DAY, False), (end, True)):
        found = snapshot(encoded, at_ms, until, half_life_days=30.0, exclude_seen=True)
        assert (found.labels.toarray()[1, 0] > 0) == labelled
        assert found.labels.toarray()[0, 0] == 0  # ada had seen c1 before
    enrolments = [int(np.bincount(encoded.course[encoded.liked(at)], minlength=2)[0]) for at in (at_ms, end)]
    assert enrolments == [1, 2]  # ada's click; then that and bob's last enrolment


def test_a_course_given_back_may_be_a_label_and_a_hit_again() -> None:
    again = _on_days([*TABLE, ("ada", "c1", "enroll", 60), ("ada", "c2", "click", 61)])
    cutoff = LANDMARK_MS + 51 * DAY
    encoded = encode(again, COURSES, _rule())
    found = snapshot(encoded, cutoff, cutoff + 30 * DAY, half_life_days=30.0, exclude_seen=True)
    assert found.labels.toarray().tolist() == [[1.0, 0.0], [0.0, 0.0]]
    early = snapshot(encoded, cutoff - 2 * DAY, cutoff + 30 * DAY, half_life_days=30.0, exclude_seen=True)
    assert early.labels.nnz == 0

    split = split_at(again, cutoff)
    (case,) = build_cases(encode(split.before, COURSES, _rule()), split.after, _rule(), cutoff)
    assert ([COURSES[row].course_id for row in case.relevant], case.user_id) == (["c1"], "ada")
    assert [COURSES[row].course_id for row in case.excluded] == ["c2"]
    late = split_at(again, cutoff - 2 * DAY)
    assert build_cases(encode(late.before, COURSES, _rule()), late.after, _rule(), late.cutoff_ms) == []


def test_a_course_enrolled_in_and_left_after_the_cut_off_is_no_hit() -> None:
    split = split_at(_on_days(TABLE), LANDMARK_MS + 12 * DAY)
    for events, relevant in ((1, ["c1"]), (2, None), (3, ["c1"])):
        after = split.after[split.after["user_id"] == "bob"].head(events)
        cases = build_cases(encode(split.before, COURSES, _rule()), after, _rule(), split.cutoff_ms)
        assert [[COURSES[row].course_id for row in case.relevant] for case in cases] == ([relevant] if relevant else [])


def test_stored_sums_of_a_case_are_those_of_the_records() -> None:
    rule, rows = _rule(), TABLE[:4]
    (case,) = build_cases(
        encode(_on_days(rows), COURSES, rule), _on_days([("ada", "c1", "click", 60)]), rule, LANDMARK_MS + 55 * DAY
    )
    events = [
        Interaction("e", user, course, kind, LANDMARK_MS + day * DAY + HOUR)  # type: ignore[arg-type]  # as above
        for user, course, kind, day in rows
    ]
    for row, stored in zip(case.rows, case.stored, strict=True):
        mine = [record_of(each, rule.records()) for each in events if each.course_id == COURSES[row].course_id]
        assert stored == pytest.approx(rule.records().engagement(reduce(join, mine)), rel=1e-12)


def test_examples_have_no_course_that_was_left_and_no_target_left_before_its_time_is_over() -> None:
    table = [
        ("ada", "c2", "click", 1),
        ("ada", "c1", "enroll", 2),
        ("ada", "c1", "unenroll", 40),
        ("ada", "c3", "click", 50),
        ("bob", "c2", "click", 1),
        ("bob", "c1", "enroll", 45),
        ("bob", "c1", "unenroll", 46),
    ]
    courses = [*COURSES, Course(course_id="c3", title="c")]
    encoded = encode(_on_days(table), courses, _rule())
    settings = HyperParameters(shared_instants=4, own_instants=6)
    examples = tower_examples(encoded, int(encoded.time[-1]) + 1, settings, 30.0)
    assert examples is not None
    found = {
        (
            encoded.users[examples.user[place] - 1],
            int((examples.time[place] - LANDMARK_MS) // DAY),
            tuple(sorted(courses[row].course_id for row in examples.rows[place] if row < len(courses))),
            tuple(courses[row].course_id for row in examples.targets[[place]].indices),
        )
        for place in range(len(examples.user))
    }
    assert ("ada", 50, ("c2",), ("c3",)) in found
    assert not [each for each in found if each[0] == "bob"]
    assert not [each for each in found if each[0] == "ada" and each[1] > 40 and "c1" in each[2]]
