"""Batch makes of a whole topic what the workers make of it record by record: scores, and what is not recommended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.encoding import EngagementRule, encode
from batch.evaluation.cases import histories
from batch.history import History, Reading
from batch.preparation import prepare
from batch.ranking.snapshots import vectors_before
from recsys.catalog import Course
from recsys.course_sums.activity import FIRST, LAST, activity, touched, unpacked, untouched
from recsys.errors import InputError
from recsys.exclusion import Exclusion
from recsys.keys import Partition, Shard
from recsys.model.inputs import Doubles
from recsys.online_store.memory import MemoryStore
from stream.engagement.fold import decode_records, fold, produced
from stream.engagement.steps import read_state
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeRecord, event

GROUP = "g"
SHARD = Shard(0)
USERS = ("a", "b", "c")
COURSES = [Course(course_id=course_id, title="t") for course_id in ("c1", "c2")]
KINDS = ("click", "view", "enroll", "unenroll", "bookmark", "dismiss", "undismiss", "progress", "rate", "unrate")
STEP_MS = 7 * HOUR_MS


@st.composite
def acts(draw: st.DrawFn) -> dict[str, Any]:
    user = draw(st.sampled_from(USERS))
    kind = draw(st.sampled_from([*KINDS, "erase", "merge", "merge"]))
    if kind == "erase":
        return {"user": user, "kind": kind, "course": ""}
    if kind == "merge":
        return {
            "user": user,
            "kind": kind,
            "course": "",
            "into": draw(st.sampled_from([u for u in USERS if u != user])),
        }
    values = {"progress": st.sampled_from([0.1, 0.3, 0.6, 0.95]), "rate": st.sampled_from([1.0, 2.5, 5.0])}
    course = draw(st.sampled_from([course.course_id for course in COURSES]))
    act = {"user": user, "kind": kind, "course": course}
    return act | ({"value": draw(values[kind])} if kind in values else {})


def as_log(story: Sequence[dict[str, Any]], repeated: int) -> list[FakeRecord]:
    """Each event arrives when it happens; some come again at the end, under other ids."""
    begin = ARRIVAL - STEP_MS * (len(story) + 1)
    timed = [(begin + STEP_MS * place, act) for place, act in enumerate(story)]
    log = [event(n, at=at, arrival=at, **act) for n, (at, act) in enumerate(timed)]
    again = timed[:repeated]
    return log + [event(len(log) + n, id=f"again{n}", at=at, **act) for n, (at, act) in enumerate(again)]


def each_merged_once(story: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The story without further merges of a learner: where they lead depends on when what they take arrives."""
    merged: set[str] = set()
    kept = []
    for act in story:
        if act["kind"] != "merge" or act["user"] not in merged:
            kept.append(act)
        if act["kind"] == "merge":
            merged.add(act["user"])
    return kept


async def streamed(log: Sequence[FakeRecord]) -> tuple[dict[tuple[str, str], tuple[float, int]], Doubles]:
    """(learner, course) → stored sum, and until when it is not recommended (0: it may be); activity by course."""
    store, waiting, offset = MemoryStore(), [*log], 0
    while waiting:
        record = waiting.pop(0)
        batch = decode_records([record], Partition(0), RULES)
        assert not batch.refused
        state = await read_state(store, SHARD, GROUP, batch, RULES)
        assert state is not None
        effects = fold(batch, state, RULES)
        assert await store.commit(SHARD, GROUP, state.fence, offset, effects)
        handed_on = [each.record for each in produced(effects.handed_on, RULES)]
        copies = [FakeRecord(0, each.value, each.key, record.timestamp, each.headers) for each in handed_on]
        waiting, offset = [*copies, *waiting], offset + 1
    states = await store.user_states(SHARD, USERS)
    records = {
        (user, course): (stored, state.done.get(course, 0))
        for user, state in zip(USERS, states, strict=True)
        for course, stored in state.engagement.items()
    }
    activity = await store.activity(SHARD)
    return records, unpacked([activity.get(course.course_id) for course in COURSES])


def batched(log: Sequence[FakeRecord]) -> tuple[dict[tuple[str, str], tuple[float, int]], Doubles]:
    """The same from the history of the topic."""
    reading = Reading()
    for record in log:
        reading.add(record)
    rules = RULES.records
    try:
        prepared = prepare(History(reading.frame(), tuple(COURSES), "topic"), at_ms=ARRIVAL, rules=rules)
    except InputError:  # nothing is left
        return {}, untouched(len(COURSES))
    rule = EngagementRule(rules.weights, rules.decay, Exclusion(), rules.bucket_ms, rules.give_back_ms)
    encoded = encode(prepared.events, prepared.courses, rule)
    records = {
        (encoded.users[user], COURSES[row].course_id): (float(stored), int(until))
        for user, learner in enumerate(histories(encoded, rule.decay, ARRIVAL))
        for row, stored, until in zip(learner.rows, learner.stored, learner.done_until, strict=True)
    }
    return records, vectors_before(encoded, ARRIVAL)


def _act(user: str, kind: str, course: str = "c1", **more: Any) -> dict[str, Any]:
    return {"user": user, "kind": kind, "course": course, **more}


CIRCLE = [
    *[_act(user, "click") for user in USERS],
    _act("b", "merge", "", into="c"),
    _act("c", "merge", "", into="b"),
    _act("c", "enroll", "c2"),
    _act("b", "bookmark"),
]
ERASED = [
    _act("a", "enroll"),
    _act("b", "enroll", "c2"),
    _act("b", "merge", "", into="a"),
    _act("b", "erase", ""),
    _act("b", "click"),
    *[_act("a", "view", "c2")] * 4,
]


THROUGH_ERASED = [
    _act("a", "dismiss"),
    _act("b", "erase", ""),
    _act("b", "bookmark", "c2"),
    _act("a", "merge", "", into="b"),
    _act("b", "merge", "", into="c"),
    _act("c", "click"),
]


@example(THROUGH_ERASED, 5)
@example(CIRCLE, 5)
@example([*CIRCLE[:4], _act("a", "merge", "", into="b"), *CIRCLE[4:]], 0)
@example(ERASED, 4)
@given(st.lists(acts(), min_size=1, max_size=25), st.integers(0, 12))
def test_a_history_gives_the_records_of_the_live_fold(story: list[dict[str, Any]], repeated: int) -> None:
    story = each_merged_once(story)
    log = as_log(story, repeated)
    (expected, live), (received, trained) = asyncio.run(streamed(log)), batched(log)
    assert received.keys() == expected.keys()
    assert {pair: until for pair, (_, until) in received.items()} == {
        pair: until for pair, (_, until) in expected.items()
    }
    for pair, (stored, _) in expected.items():
        assert received[pair][0] == pytest.approx(stored, rel=1e-9, abs=1e-9)
    now, then = activity(live, ARRIVAL), activity(trained, ARRIVAL)
    np.testing.assert_allclose(now.popularity, then.popularity, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(now.first_touches, then.first_touches, rtol=1e-9, atol=1e-9)
    # Of the times of the first and the last touch nothing is taken back.
    np.testing.assert_array_equal(touched(live), touched(trained))
    assert (live[:, FIRST] <= trained[:, FIRST]).all()
    assert (live[:, LAST] >= trained[:, LAST]).all()
