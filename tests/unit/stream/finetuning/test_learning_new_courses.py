"""A course that came after the parent: what the line learns of it, what its bundles say of it, and when that goes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.catalog import Course
from recsys.course_sums.activity import Terms, activity, added, untouched
from recsys.engagement import MS_PER_DAY
from recsys.events import Interaction
from recsys.model.bundle import Bundle, as_bundle
from recsys.model.mixed_affinity import ACTIVITY
from recsys.model.scorer import Scorer
from recsys.record import RecordRules
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.judging import draft_of
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.new_courses import OfferedCourses
from stream.finetuning.rules import LearningRules
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, course_of, events, hybrid
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

NEW = course_of(42, "new")
ROW = N_COURSES
PASSED = Verdict(Outcome.PASSED, "")
LATER_MS = START_MS + 2 * MS_PER_DAY


def line_of(parent: Bundle, rules: LearningRules = LEARNING) -> Line:
    return Line(parent, rules, RecordRules(), step=numpy_step, start=NumpyState.at)


def offered(*courses: Course, retired: Sequence[str] = ()) -> OfferedCourses:
    found = OfferedCourses(100)
    found.add([*((each.course_id, each) for each in courses), *((each, None) for each in retired)])
    return found


def learn(line: Line, clicks: Sequence[Interaction], *, first: int = 0) -> None:
    for block in blocks(clicks, first=first):
        learn_block(line, block)


def admitted(parent: Bundle, then: Sequence[str]) -> Line:
    """One that admitted the course after 300 events, and learned 600 more, in which learners take it or do not."""
    found = line_of(parent)
    learn(found, events(300, learners=100, new=["new"]))
    assert found.take_over(offered(NEW)) == {"rows_admitted": 1, "rows_expired": 0}
    learn(found, events(600, seed=1, learners=300, new=then), first=300)
    return found


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    """The state of one whose learners take it."""
    return admitted(as_bundle(hybrid(live=True)), ["new"]).state()


@pytest.fixture
def line(live_parent: Bundle, learned: dict[str, Any]) -> Line:
    """One with that state."""
    found = line_of(live_parent)
    found.restore(deepcopy(learned))
    return found


def served(bundle: Bundle, liked: dict[str, float], at_ms: int, catalogue: Sequence[Course] = ()) -> dict[str, float]:
    """Course → score, as a worker has it with the features of the bundle."""
    scorer = Scorer(bundle).with_catalogue({each.course_id: each for each in catalogue}, ())
    stored = RecordRules().decay.stored(1.0, at_ms)
    scores = scorer.score("nobody", {course: stored * value for course, value in liked.items()}, at_ms=at_ms)
    return dict(zip(scorer.course_ids, scores.tolist(), strict=True))


def test_it_is_learned_like_any_other(line: Line, live_parent: Bundle) -> None:
    untaken = admitted(live_parent, [])
    assert len(line.increment.bias) == N_COURSES + 1
    assert line.increment.bias[ROW] > untaken.increment.bias[ROW] + 0.1
    assert line.increment.rows[ROW].any()
    assert "new" in {each.course for each in line.evidence._sample}


def test_nothing_is_learned_of_it_before_it_is_admitted_and_placed(live_parent: Bundle) -> None:
    line = line_of(live_parent)
    learn(line, events(600, learners=100, new=["new"]))
    assert not line.take_over(offered())
    assert len(line.increment.bias) == N_COURSES
    assert "new" not in {each.course for each in line.evidence._sample}


def test_a_parent_without_text_has_no_place_for_it(parent: Bundle) -> None:
    line = line_of(parent)
    learn(line, events(300, learners=100, new=["new"]))
    assert not line.take_over(offered(NEW))
    assert draft_of(line, PASSED, at_ms=START_MS).courses == parent.courses


def test_its_bundle_has_it_and_ranks_as_the_line_does(line: Line) -> None:
    draft = draft_of(line, PASSED, at_ms=START_MS)
    assert [*draft.courses] == [*line.parent.courses, NEW]
    assert draft.metrics["new_courses"] == 1
    assert f"{line.parent.manifest.version} and 1 new course, in place of" in draft.metrics["headline"]
    liked = {"c4": 3.0, "new": 2.0, "c11": 5.0}
    found = served(as_bundle(draft), liked, START_MS)
    rows = np.array([line.situations.row_of[each] for each in liked], np.int32)
    model = line.situations.model(line.variant.item_item)
    situation = model.situation(0, rows, np.array([*liked.values()]))
    assert situation is not None
    np.testing.assert_allclose([*found.values()], model.scores(situation, line.increment), atol=1e-3)


def test_what_is_published_is_taken_to_rank_it_as_workers_place_it(line: Line) -> None:
    """Its candidates are judged beside that, so the gate sees what rows of its own are worth."""
    now = draft_of(line, PASSED, at_ms=START_MS)
    features = {name: now.arrays[name][:N_COURSES] for name in ("features", ACTIVITY)}
    parent = replace(line.parent, arrays={**line.parent.arrays, **features})
    placed = Scorer(parent).with_catalogue({"new": NEW}, ())
    vectors = now.arrays[ACTIVITY]
    live = placed.with_activity([course.course_id for course in now.courses], vectors, at_ms=line.last_ms)
    stored = {"c4": RecordRules().decay.stored(3.0, START_MS)}
    situation = line.situations.model(line.situations.origin.item_item).situation(
        0, np.array([4], np.int32), np.array([3.0])
    )
    assert situation is not None
    scores = line.situations.model(line.situations.origin.item_item).scores(
        situation, line.lineage.of_published.increment
    )
    np.testing.assert_allclose(live.score("nobody", stored, at_ms=START_MS), scores, atol=1e-3)


def test_nothing_doubles_where_the_catalogue_is_followed_beside_it(line: Line) -> None:
    bundle = as_bundle(draft_of(line, PASSED, at_ms=START_MS))
    found = served(bundle, {"c4": 3.0}, START_MS, catalogue=[NEW])
    assert len(found) == N_COURSES + 1
    assert found == served(bundle, {"c4": 3.0}, START_MS)


def test_its_features_are_those_of_its_events_from_the_first(line: Line, live_parent: Bundle) -> None:
    clicks = [*events(300, learners=100, new=["new"]), *events(600, seed=1, learners=300, new=["new"])]
    days = {(each.user_id, each.timestamp // MS_PER_DAY * MS_PER_DAY) for each in clicks if each.course_id == "new"}
    learners = dict(sorted(days, key=lambda pair: pair[1], reverse=True))
    at_ms = np.array([at for _, at in days], np.float64)
    first = np.array([learners[user] == at for user, at in days], np.float64)
    wanted = added(untouched(1), Terms(np.zeros(len(days), np.int64), at_ms, np.ones(len(days)), first))
    found = draft_of(line, PASSED, at_ms=START_MS).arrays[ACTIVITY]
    mine, theirs = (activity(each, line.last_ms) for each in (found[[ROW]], wanted))
    np.testing.assert_allclose(mine.popularity, theirs.popularity, rtol=1e-9)
    np.testing.assert_allclose(mine.first_touches, theirs.first_touches, rtol=1e-9)
    assert len(found) == len(live_parent.courses) + 1


@pytest.mark.parametrize("why", ["expired", "retired"])
def test_its_rows_go_and_nothing_else_changes(line: Line, why: str) -> None:
    before = line.increment
    if why == "expired":
        clicks = [Interaction("late", "u1", "c2", "click", LATER_MS)]
        learn(line, clicks, first=900)
        before = line.increment
    counts = line.take_over(offered(NEW) if why == "expired" else offered(retired=["new", "c3"]))
    assert counts == {"rows_admitted": 0, "rows_expired": 1}
    assert np.array_equal(line.increment.bias, before.bias[:N_COURSES])
    assert np.array_equal(line.increment.rows, before.rows[:N_COURSES])
    draft = draft_of(line, PASSED, at_ms=START_MS)
    assert {name: len(draft.arrays[name]) for name in ("course_bias", "features", ACTIVITY)} == {
        "course_bias": N_COURSES,
        "features": N_COURSES,
        ACTIVITY: N_COURSES,
    }
    assert [course.course_id for course in draft.courses if course.retired] == ["c3", "c7"][why == "expired" :]
    assert line.state()["steps"]["reservoir"]["columns"]["courses"].max() < N_COURSES
    learn(line, events(200, seed=2, learners=300, start_ms=LATER_MS), first=950)
    assert line.increment.is_finite()


def test_the_retrain_that_contains_it_has_it_once(line: Line) -> None:
    following = line_of(as_bundle(hybrid(live=True, more=[NEW])))
    following.go_on_from(line.state())
    assert not following.take_over(offered(NEW))
    learn(following, events(100, seed=3, learners=300, new=["new"]), first=900)
    draft = draft_of(following, PASSED, at_ms=START_MS)
    assert [course.course_id for course in draft.courses].count("new") == 1
    assert draft.metrics["new_courses"] == 0


def test_it_keeps_its_rows_under_a_retrain_that_does_not_contain_it(line: Line, live_parent: Bundle) -> None:
    following = line_of(live_parent)
    following.go_on_from(line.state())
    assert [*following.situations.courses][ROW] == NEW
    assert not following.increment.bias.any()
    np.testing.assert_allclose(
        draft_of(following, PASSED, at_ms=START_MS).arrays[ACTIVITY][ROW],
        draft_of(line, PASSED, at_ms=START_MS).arrays[ACTIVITY][ROW],
    )


def test_refreshed_matrices_of_what_is_published_move_along(live_parent: Bundle) -> None:
    line = line_of(live_parent, replace(LEARNING, refresh_known=0.5, refresh_growth=0.5))
    learn(line, events(300, learners=100, new=["new"]))
    assert line.variant.item_item.number > 0
    line.propose("next")
    line.was_published()
    before = line.variant.item_item
    line.take_over(offered(NEW))
    after = line.variant.item_item
    assert after.number == before.number
    assert after is line.lineage.of_published.item_item
    assert len(after.ease[0]) == N_COURSES + 2
    learn(line, events(300, seed=1, learners=100, new=["new"]), first=300)
    again = line_of(live_parent, replace(LEARNING, refresh_known=0.5, refresh_growth=0.5))
    again.restore(line.state())
    for name, mine in draft_of(again, PASSED, at_ms=START_MS).arrays.items():
        assert np.array_equal(mine, draft_of(line, PASSED, at_ms=START_MS).arrays[name]), name


def test_the_refresh_after_it_came_makes_the_matrices_anew(live_parent: Bundle) -> None:
    """Until then it has only what it is lent; two of three refreshes would leave it at that."""
    line = line_of(
        live_parent, replace(LEARNING, refresh_known=0.1, refresh_growth=0.05, refresh_ms=0, matrices_every=3)
    )
    stream, refreshes = blocks(events(900, learners=300, new=["new"])), list[str]()
    for block in stream:
        counts = learn_block(line, block)
        refreshes += [what for what in ("matrices_refreshed", "matrices_kept") if counts[what]]
        if refreshes[-1:] == ["matrices_refreshed"] and line.take_over(offered(NEW)):
            refreshes.append("came")
    place = refreshes.index("came")
    assert refreshes[place - 1 : place + 3] == ["matrices_refreshed", "came", "matrices_refreshed", "matrices_kept"]


def test_rows_go_after_a_restart_that_turned_them_off(live_parent: Bundle, learned: dict[str, Any]) -> None:
    line = line_of(live_parent, replace(LEARNING, new_courses=replace(LEARNING.new_courses, rows=0)))
    line.restore(deepcopy(learned))
    learn(line, events(100, seed=3, learners=300, new=["new"]), first=900)
    line.take_over(offered(NEW))
    assert len(draft_of(line, PASSED, at_ms=START_MS).arrays["course_bias"]) == N_COURSES
    assert line.increment.bias.any()


def test_a_course_admitted_with_a_late_retrain_is_as_new_as_the_events_that_like_it(live_parent: Bundle) -> None:
    line, following = line_of(live_parent), line_of(live_parent)
    learn(line, events(300, learners=100, new=["new"], start_ms=LATER_MS))
    following.go_on_from(line.state())
    following.take_over(offered(NEW))
    learn(following, [Interaction("next", "u1", "c2", "click", LATER_MS + 10**6)], first=300)
    following.take_over(offered(NEW))
    assert [*following.situations.courses][ROW:] == [NEW]


def test_an_erasure_takes_what_was_learned_before_merges_too(live_parent: Bundle) -> None:
    line, at_ms = line_of(live_parent), iter(range(START_MS + 1, START_MS + 100))
    clicks = [Interaction(f"a{course}", "ada2", course, "click", next(at_ms)) for course in ("c1", "c2", "new")]
    merges = [
        Interaction(f"m{user}", user, "", "merge", next(at_ms), into=into)
        for user, into in (("ada2", "ada3"), ("ada3", "ada4"))
    ]
    learn(line, [*clicks, *merges])
    of = ("evidence", "steps", "new_courses")
    assert all("ada2" in str(line.state()[name]) for name in of)
    learn(line, [Interaction("x", "ada4", "", "erase", next(at_ms))], first=50)
    assert not any("ada2" in str(line.state()[name]) for name in of)


def test_a_poisoned_course_of_few_learners_gets_no_rows(live_parent: Bundle) -> None:
    line: Any = line_of(live_parent)
    clicks = [Interaction(f"p{n}", f"u{n % 2}", "new", "click", START_MS + n * 60_000) for n in range(200)]
    crawlers = [
        Interaction(f"b{n}", f"b{n}", "new", "click", START_MS + n, user_agent="Googlebot/2.1") for n in range(50)
    ]
    learn(line, [*clicks, *crawlers])
    assert not line.take_over(offered(NEW))
