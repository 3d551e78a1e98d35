"""The offline comparison knows at each trial what was visible then, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.prequential.__main__ import drawn_trials
from benchmarks.prequential.figures import figure
from benchmarks.prequential.methods import DAY_MS, DELAYS_MS, NIGHTLY, visible_until
from benchmarks.prequential.state import History, State
from benchmarks.rivals import DecayedPopularity
from recsys.events import EventType, Interaction
from recsys.record.rules import RecordRules

START_MS = 1_700_000_000_000
ROW_OF = {"a": 0, "b": 1}


def event(user: str, course: str, at_s: float, kind: EventType = "click") -> Interaction:
    return Interaction("e", user, course, kind, START_MS + int(1000 * at_s))


EVENTS = [
    event("u", "a", 0),
    event("v", "a", 5, "dismiss"),
    event("u", "a", 10),
    event("u", "b", 20),
    event("v", "b", 30),
    event("v", "unknown", 40),
]
HISTORY = History(EVENTS, {"u": 0, "v": 1})


def test_trials_are_first_positive_touches_of_known_courses_after_the_cut() -> None:
    assert drawn_trials(HISTORY, 1, ROW_OF, 10, 0) == [3, 4]
    assert drawn_trials(HISTORY, 4, ROW_OF, 10, 0) == [4]
    assert len(drawn_trials(HISTORY, 0, ROW_OF, 2, 0)) == 2


def test_a_state_knows_what_happened_up_to_its_time_and_rivals_learn_first_touches() -> None:
    popularity = DecayedPopularity(2, 1e12)
    state = State(RecordRules(), ROW_OF, {"popularity": popularity})
    state.advance(HISTORY, START_MS + 19_999)
    assert set(state.records["u"]) == {"a"}
    assert popularity.scores(0, ()) == pytest.approx([1.0, 0.0])
    state.advance(HISTORY, START_MS + 20_000)
    engagement, exclude = state.learner("u", START_MS + 20_000)
    assert (set(engagement), exclude, state.touched["u"]) == ({"a", "b"}, {"a", "b"}, [0, 1])
    assert state.learner("v", START_MS + 20_000)[1] == {"a"}  # dismissed


def test_what_is_visible_depends_on_the_delay() -> None:
    at_ms = START_MS // DAY_MS * DAY_MS + 5_000_000
    assert visible_until(NIGHTLY, at_ms) == START_MS // DAY_MS * DAY_MS - 1
    assert [at_ms - visible_until(delay, at_ms) for delay in DELAYS_MS] == [1000, 10_000, 60_000, 3_600_000, DAY_MS]


def test_an_interval_resamples_learners_and_not_events() -> None:
    # One learner has half of all trials: their luck decides, and the interval says so.
    values, learners = [1.0] * 50 + [0.0, 1.0] * 25, np.array([0] * 50 + list(range(1, 51)))
    by_learner = figure(values, learners, np.random.default_rng(0))
    by_event = figure(values, np.arange(100), np.random.default_rng(0))
    assert by_learner.mean == by_event.mean == 0.75
    assert by_learner.high - by_learner.low > 1.3 * (by_event.high - by_event.low)
