"""The ranker's weights, estimated anew: what snapshots hold, what counts as liked since, and what holds the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.errors import BundleError
from recsys.events import Interaction
from recsys.model.bundle import Bundle
from recsys.model.increment import INPUTS, Situation
from recsys.model.links import ItemItem
from recsys.model.ranking_lists import CURVATURE, NEVER, RankingLists, cost
from recsys.model.scorer import Scorer
from recsys.model.signals import SIGNALS
from recsys.record import RecordRules
from stream.finetuning.learners import Learners
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.moments import Moment
from stream.finetuning.moved_rows import MovedRows
from stream.finetuning.new_courses import OfferedCourses
from stream.finetuning.reweighting import estimated
from stream.finetuning.snapshots import Snapshot, Snapshots
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, course_of, events
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

RULES = replace(LEARNING, refresh_known=0.5, refresh_growth=0.5)


def still(state: Any, _columns: Sequence[Any]) -> tuple[Any, float]:
    """A step that changes nothing, so that weights are all that is learned."""
    return state, 1.0


def line_of(parent: Bundle, **rules: Any) -> Line:
    return Line(parent, replace(RULES, **rules), RecordRules(), step=still, start=NumpyState.at)


def learn(line: Line, clicks: Sequence[Interaction], *, first: int = 0) -> Counter[str]:
    return sum((learn_block(line, block) for block in blocks(clicks, first=first)), Counter())


def click(user: str, course: str, second: int = 0) -> Interaction:
    return Interaction(f"{user}-{course}-{second}", user, course, "click", START_MS + 1000 * second)


def situation(touched: Sequence[int] = ()) -> Situation:
    rng = np.random.default_rng(len(touched))
    signals = rng.normal(size=(len(SIGNALS), N_COURSES)).astype(np.float32)
    features = rng.normal(size=(INPUTS - len(SIGNALS), N_COURSES)).astype(np.float32)
    weights = np.ones(INPUTS, np.float32)
    none = np.zeros(1, np.float32)
    return Situation(none, signals[-1], signals, features, weights, np.array(touched, np.int32))


def liked(line: Line, snapshot: Snapshot, learners: Learners) -> list[set[int]]:
    """Rows of the positives of each list."""
    lists = snapshot.lists(learners, line.situations, np.random.default_rng(0))
    rows = _rows(lists, snapshot)
    return [set(row[label > 0].tolist()) for row, label in zip(rows, lists.labels, strict=True)]


def _rows(lists: RankingLists, snapshot: Snapshot) -> np.ndarray:
    """Candidates by the first feature, which differs from course to course."""
    features = snapshot.state()["features"][:, 0]
    of: np.ndarray = np.abs(lists.inputs[:, :, len(SIGNALS), None] - features).argmin(axis=2)
    return of


@pytest.fixture
def line(live_parent: Bundle) -> Line:
    return line_of(live_parent)


def test_positives_are_what_was_liked_since_and_not_touched_before(line: Line) -> None:
    learners, seen = Learners(RecordRules(), limit=10, max_courses=50), situation([3])
    snapshot = Snapshot(4, seen.features.T, 1)
    snapshot.saw("ada", seen)
    for each in (click("ada", "c3"), click("ada", "c5"), click("ada", "c7"), click("bob", "c6")):
        learners.apply(each)
    learners.apply(Interaction("low", "ada", "c8", "rate", START_MS, 1.0))
    learners.apply(click("ada", "elsewhere"))
    assert liked(line, snapshot, learners) == [{5}]  # c7 is retired, and 1 star is no liking


def test_a_learner_who_liked_nothing_since_gives_no_list(line: Line) -> None:
    learners, seen = Learners(RecordRules(), limit=10, max_courses=50), situation([3])
    snapshot = Snapshot(4, seen.features.T, 1)
    snapshot.saw("ada", seen)
    learners.apply(click("ada", "c3"))
    assert snapshot.lists(learners, line.situations, np.random.default_rng(0)).base.shape[0] == 0


def test_inputs_are_those_of_then(line: Line) -> None:
    learners, seen = Learners(RecordRules(), limit=10, max_courses=50), situation([3])
    snapshot = Snapshot(4, seen.features.T, 1)
    snapshot.saw("ada", seen)
    learners.apply(click("ada", "c5"))
    lists = snapshot.lists(learners, line.situations, np.random.default_rng(0))
    there = lists.log_inverse[0] > NEVER
    rows = _rows(lists, snapshot)[0][there]
    expected = np.concatenate([seen.signals[:, rows], seen.features[:, rows]]).T
    np.testing.assert_allclose(lists.inputs[0][there], expected, atol=1e-2)
    np.testing.assert_allclose(lists.base[0][there], expected.sum(axis=1), atol=5e-2)
    assert 3 not in rows


def test_a_retired_course_is_no_candidate_and_no_number_of_a_list_is_infinite(line: Line) -> None:
    """Also where a list has fewer candidates than places."""
    learners, seen = Learners(RecordRules(), limit=10, max_courses=50), situation([3])
    snapshot = Snapshot(4, seen.features.T, 1)
    snapshot.saw("ada", seen)
    learners.apply(click("ada", "c5"))
    for retired in ([7], [*range(10, N_COURSES)]):
        line.situations.offered = np.isin(np.arange(N_COURSES), retired, invert=True)
        lists = snapshot.lists(learners, line.situations, np.random.default_rng(0))
        rows = _rows(lists, snapshot)[0][lists.log_inverse[0] > NEVER]
        assert not {*retired} & {*rows.tolist()}
        assert all(np.isfinite(array).all() for array in lists)
        value, gradient = cost(lists, np.zeros(INPUTS))
        assert np.isfinite([value, *gradient]).all()


def test_a_learner_is_in_a_snapshot_once_as_at_the_first_label(line: Line) -> None:
    first, later = situation([3]), situation([3, 5])
    snapshot = Snapshot(4, first.features.T, 1)
    snapshot.saw("ada", first)
    snapshot.saw("ada", later)
    assert len(snapshot) == 1
    learners = Learners(RecordRules(), limit=10, max_courses=50)
    learners.apply(click("ada", "c5"))
    assert liked(line, snapshot, learners) == [{5}]


def test_a_snapshot_is_an_even_sample_of_learners() -> None:
    counts = Counter[str]()
    for seed in range(300):
        snapshot = Snapshot(5, situation().features.T, seed)
        for number in [*range(20), *range(20)]:
            snapshot.saw(f"u{number}", situation())
        held = [user for _, user, *_ in snapshot.state()["held"]]
        assert len(set(held)) == len(held) == 5
        counts.update(held)
    assert min(counts.values()) > 45  # 75 expected of each
    assert len(counts) == 20


def test_who_was_erased_or_is_a_bot_gives_no_list(line: Line) -> None:
    snapshot, rng = Snapshot(9, situation().features.T, 1), np.random.default_rng(0)
    learners = Learners(RecordRules(), limit=10, max_courses=500)
    for user in ("ada", "bob", "bot"):
        snapshot.saw(user, situation())
        learners.apply(click(user, "c5"))
    for number in range(50):
        learners.apply(Interaction(f"b{number}", "bot", "c6", "click", START_MS, user_agent="Googlebot/2.1"))
    snapshot.forget("bob")
    assert len(snapshot.lists(learners, line.situations, rng).base) == 1


def held_by(snapshots: Snapshots) -> list[list[str]]:
    return [[user for _, user, *_ in each["held"]] for each in snapshots.state()]


def two_snapshots() -> Snapshots:
    """Ada in the first, Ada as of later and Bob in the second."""
    snapshots, features = Snapshots(2, 4), situation().features.T
    snapshots.saw("nobody", situation())  # there is none yet
    for salt, users in ((1, ["ada"]), (2, ["ada", "bob"])):
        snapshots.begin(features, salt)
        for user in users:
            snapshots.saw(user, situation([3, 5][:salt]))
    return snapshots


def test_a_label_takes_its_learner_into_the_newest_snapshot_alone() -> None:
    first, second = held_by(two_snapshots())
    assert first == ["ada"]
    assert {*second} == {"ada", "bob"}


def test_lists_are_of_all_snapshots_each_with_what_was_touched_then(line: Line) -> None:
    learners = Learners(RecordRules(), limit=10, max_courses=50)
    for course in ("c3", "c5", "c6"):
        learners.apply(click("ada", course))
    lists = two_snapshots().lists(learners, line.situations, np.random.default_rng(0))
    assert lists is not None
    assert sorted(lists.labels.sum(axis=1)) == [1, 2]  # c6; c5 and c6


def test_who_is_forgotten_is_in_none_of_them() -> None:
    snapshots = two_snapshots()
    snapshots.forget("ada")
    assert held_by(snapshots) == [[], ["bob"]]


def test_courses_move_in_all_of_them() -> None:
    snapshots = two_snapshots()
    before = [f"c{number}" for number in range(N_COURSES)]
    snapshots.move(MovedRows(before, [*before[:4], *before[5:], "new", "newer"]))
    for each in snapshots.state():
        assert each["known"].shape == (N_COURSES + 1,)
        assert each["features"].shape[0] == N_COURSES + 1
        assert all(signals.shape[1] == N_COURSES + 1 for *_, signals, _ in each["held"])


def test_the_estimate_is_where_the_lists_and_the_penalty_balance() -> None:
    """Also where the lists of the retrain said nothing at all of most directions."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 30, INPUTS)).astype(np.float32)
    labels = (np.argsort(np.argsort(-inputs[:, :, 0], axis=1), axis=1) < 3).astype(np.float32)
    lists = RankingLists(inputs, np.zeros(labels.shape, np.float32), labels, np.zeros(labels.shape, np.float32))
    known = np.diag([3.0, 2.0, *[0.0] * (INPUTS - 2)])
    held = 400.0
    found = estimated(lists, known, np.zeros(INPUTS, np.float32), held=held, bound=100.0).astype(float)
    _, pull = cost(lists, found)
    penalty = held / 200 * (known + 1e-3 * np.eye(INPUTS)) @ found
    np.testing.assert_allclose(penalty[:2], -pull[:2], atol=0.02)
    assert 0.01 < found[0] < 0.5


def test_weights_go_where_lists_say_and_stay_where_they_say_nothing() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 30, INPUTS)).astype(np.float32)
    inputs[:, :, 3] = 1.0  # the same for every candidate
    labels = (np.argsort(np.argsort(-inputs[:, :, 0], axis=1), axis=1) < 3).astype(np.float32)
    lists = RankingLists(inputs, np.zeros(labels.shape, np.float32), labels, np.zeros(labels.shape, np.float32))
    none = np.zeros(INPUTS, np.float32)
    found = estimated(lists, 0.01 * np.eye(INPUTS), none, held=200.0, bound=2.0)
    assert np.argmax(np.abs(found)) == 0
    assert found[0] > 0.5
    assert found[3] == pytest.approx(0.0, abs=1e-6)
    assert cost(lists, found.astype(float))[0] < cost(lists, none.astype(float))[0]
    assert np.abs(estimated(lists, 0.01 * np.eye(INPUTS), none, held=200.0, bound=0.1)).max() == pytest.approx(0.1)


def test_a_direction_of_which_the_lists_of_the_retrain_said_much_is_held() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 30, INPUTS)).astype(np.float32)
    told = inputs[:, :, 0] + inputs[:, :, 1]
    labels = (np.argsort(np.argsort(-told, axis=1), axis=1) < 3).astype(np.float32)
    lists = RankingLists(inputs, np.zeros(labels.shape, np.float32), labels, np.zeros(labels.shape, np.float32))
    known = np.diag([50.0, *[0.01] * (INPUTS - 1)])
    found = estimated(lists, known, np.zeros(INPUTS, np.float32), held=200.0, bound=2.0)
    assert found[1] > 5 * abs(found[0])


def test_they_are_estimated_with_each_refresh_of_the_matrices(line: Line) -> None:
    counts = learn(line, events(600, learners=150))
    assert counts["reweighed"] == counts["matrices_refreshed"] - 1 > 1  # the first one comes before there are enough
    assert np.abs(line.increment.weights).max() > 1e-3
    assert np.abs(line.increment.weights).max() <= RULES.weights_bound
    assert not line.increment.bias.any()
    assert len(line.snapshots) == RULES.snapshots


def test_few_lists_and_a_parent_that_says_nothing_of_its_own_leave_them(live_parent: Bundle) -> None:
    arrays = {name: array for name, array in live_parent.arrays.items() if name != CURVATURE}
    for line in (line_of(live_parent, least_lists=1000), line_of(replace(live_parent, arrays=arrays))):
        counts = learn(line, events(600, learners=150))
        assert counts["matrices_refreshed"] > 1
        assert not counts["reweighed"]
        assert not line.increment.weights.any()
    assert len(line.snapshots) == 0


def test_a_snapshot_begins_with_the_first_block_of_changes_and_then_with_each_refresh(live_parent: Bundle) -> None:
    """And with nothing else: not where too little is known to make the matrices anew."""
    line = line_of(live_parent)
    learn(line, events(50, learners=150))
    (first,) = line.snapshots.state()
    np.testing.assert_array_equal(first["features"], line.situations.features)  # of now, not of the parent's end
    assert not np.array_equal(first["features"], live_parent.arrays["features"])
    blind = line_of(live_parent, refresh_known=2.0)
    counts = learn(blind, events(600, learners=150))
    assert counts["matrices_too_little_known"] > 1
    assert not counts["reweighed"]
    assert len(blind.snapshots) == 1


def test_each_snapshot_has_hashes_of_its_own(line: Line) -> None:
    learn(line, events(400, learners=150))
    salts = [each["salt"] for each in line.snapshots.state()]
    assert len(salts) == len({*salts}) > 1


def test_snapshots_hold_what_ranks_with_the_matrices_in_training(line: Line) -> None:
    """Not with those that are published."""
    learn(line, events(400, learners=150))
    number = line.variant.item_item.number
    assert number != line.lineage.of_published.item_item.number
    line.snapshots.begin(line.situations.features, 1)
    told = dict[str, Situation]()
    line.snapshots.saw = told.setdefault  # type: ignore[method-assign,assignment]
    ranked = list[tuple[Moment, Situation]]()
    of_all = line.situations.of_all

    def noted(moments: Sequence[Moment], item_item: ItemItem, **frozen: bool) -> Iterator[Situation | None]:
        found = list(of_all(moments, item_item, **frozen))
        if item_item.number == number:
            ranked.extend((moment, each) for moment, each in zip(moments, found, strict=True) if each)
        return iter(found)

    line.situations.of_all = noted  # type: ignore[method-assign]
    learn(line, events(50, seed=9, learners=150), first=400)
    assert told
    assert all(any(each is seen for _, each in ranked) for seen in told.values())


def test_the_sums_of_the_optimizer_go_on(live_parent: Bundle) -> None:
    line = Line(live_parent, RULES, RecordRules(), step=numpy_step, start=NumpyState.at)
    learn(line, events(400, learners=150))
    before = line.steps.state()["squares"]
    assert before[-1].max() > 2 * before[-1].min()
    line.steps.reweigh(np.full(INPUTS, 0.25, np.float32))
    assert line.increment.weights.tolist() == [0.25] * INPUTS
    for was, now in zip(before, line.steps.state()["squares"], strict=True):
        np.testing.assert_array_equal(was, now)


def test_snapshots_go_over_to_other_courses_with_the_line(line: Line) -> None:
    learn(line, events(300, learners=150, new=["new"]))
    offered = OfferedCourses(10)
    offered.add([("new", course_of(0, "new"))])
    assert line.take_over(offered)["rows_admitted"] == 1
    for each in line.snapshots.state():
        assert each["known"].tolist() == [True] * N_COURSES + [False]
    assert learn(line, events(600, seed=1, learners=300, new=["new"]), first=300)["reweighed"]


def test_a_catalogue_too_large_for_enough_learners_has_no_snapshots(live_parent: Bundle) -> None:
    """What snapshots hold grows with learners × courses."""
    enough = -(-RULES.least_lists // RULES.snapshots)
    some, none = (line_of(live_parent, snapshot_cells=learners * N_COURSES) for learners in (enough, enough - 1))
    for line in (some, none):
        learn(line, events(400, learners=150))
    assert max(len(each) for each in some.snapshots._kept) == enough
    assert len(none.snapshots) == 0


def test_a_rejection_takes_them_back(line: Line) -> None:
    learn(line, events(600, learners=150))
    line.reject()
    assert not line.increment.weights.any()


def test_a_restart_goes_on_with_the_same_snapshots(live_parent: Bundle, line: Line) -> None:
    again = line_of(live_parent)
    clicks = events(600, learners=150)
    learn(line, clicks[:400])
    again.restore(line.state())
    for each in (line, again):
        learn(each, clicks[400:], first=400)
    assert np.array_equal(line.increment.weights, again.increment.weights)
    assert str(line.snapshots.state()) == str(again.snapshots.state())


def test_a_checkpoint_of_before_has_no_snapshots(live_parent: Bundle, line: Line) -> None:
    learn(line, events(400, learners=150))
    before = {name: value for name, value in line.state().items() if name != "snapshots"}
    again = line_of(live_parent)
    again.restore(before)
    assert len(again.snapshots) == 0
    assert learn(again, events(200, seed=1, learners=150), first=400)


def test_who_is_erased_is_in_no_snapshot(line: Line) -> None:
    learn(line, events(400, learners=150))
    held = {user for each in line.snapshots.state() for _, user, *_ in each["held"]}
    user = min(held)
    line.forget(user)
    assert {user for each in line.snapshots.state() for _, user, *_ in each["held"]} == held - {user}


def test_a_course_that_came_is_in_no_earlier_list(live_parent: Bundle) -> None:
    line, seen = line_of(live_parent), situation([3, 7])
    snapshot = Snapshot(4, seen.features.T, 1)
    snapshot.saw("ada", seen)
    before = [course.course_id for course in live_parent.courses]
    after = [*before[:7], *before[8:], "new"]
    snapshot.move(MovedRows(before, after))
    state = snapshot.state()
    assert state["known"].tolist() == [True] * (N_COURSES - 1) + [False]
    (_, _, touched, signals, _), *_ = state["held"]
    assert touched.tolist() == [3]
    np.testing.assert_array_equal(signals[:, 7], seen.signals[:, 8].astype(np.float16))
    np.testing.assert_array_equal(state["features"][7], seen.features[:, 8])
    learners = Learners(RecordRules(), limit=10, max_courses=50)
    for course in ("c5", "new"):
        learners.apply(click("ada", course))
    line.situations.row_of = {course: row for row, course in enumerate(after)}
    line.situations.offered = np.ones(N_COURSES, bool)
    assert liked(line, snapshot, learners) == [{5}]
    again = Snapshot(4, state["features"], state["salt"])
    again.restore(state)
    assert liked(line, again, learners) == [{5}]


def test_a_curvature_of_another_size_is_refused(live_parent: Bundle) -> None:
    broken = replace(live_parent, arrays={**live_parent.arrays, CURVATURE: np.eye(3, dtype=np.float32)})
    with pytest.raises(BundleError, match=CURVATURE):
        Scorer(broken)


def test_what_came_by_a_merge_is_nothing_that_was_liked_since(line: Line) -> None:
    """Bea has in her snapshot what Bea touched; what was Ada's before then is no label of hers."""
    learn(line, [click("ada", "c5", 1), click("ada", "c6", 2), click("bea", "c1", 3)])
    learn(line, [click("bea", "c2", 60)], first=50)
    merge = Interaction("m", "ada", "", "merge", START_MS + 90_000, into="bea")
    learn(line, [merge], first=100)
    labels = [
        {*np.flatnonzero(row > 0)}
        for each in line.snapshots._kept
        for row in each.lists(line.learners, line.situations, np.random.default_rng(0)).labels
    ]
    assert max((len(each) for each in labels), default=0) <= 1  # c2 at most


def test_who_was_merged_long_ago_is_erased_from_snapshots_too(live_parent: Bundle) -> None:
    """Also where so many merges came since that this one is remembered no more."""
    line = line_of(live_parent)
    line.learners._limit = 3
    learn(line, [click("ada", "c5", 1), click("ada", "c6", 2)])
    learn(line, [click("ada", "c8", 60)], first=50)
    assert "ada" in str(line.snapshots.state())
    pairs = [("ada", "bea"), *((f"x{number}", f"y{number}") for number in range(4))]
    merges = [Interaction(f"m{a}", a, "", "merge", START_MS + 90_000, into=b) for a, b in pairs]
    learn(line, [*merges, Interaction("e", "bea", "", "erase", START_MS + 99_000)], first=100)
    assert "ada" not in str(line.snapshots.state())


def test_a_snapshot_keeps_nothing_of_the_others_of_a_batch(line: Line) -> None:
    learn(line, [*(click(f"u{number}", "c1", number) for number in range(8)), click("ada", "c20", 9)])
    labels = [*(click(f"u{number}", "c2", 60 + number) for number in range(8)), click("ada", "c25", 70)]
    learn(line, labels, first=50)
    for snapshot in line.snapshots._kept:
        for held in snapshot._held:
            assert held.touched.base is None
            assert held.weights.base is None


def test_a_curvature_that_is_none_moves_nothing(live_parent: Bundle) -> None:
    width = np.ones((INPUTS, INPUTS), np.float32)
    for curvature in (np.nan * width, -0.1 * np.eye(INPUTS, dtype=np.float32)):
        line = line_of(replace(live_parent, arrays={**live_parent.arrays, CURVATURE: curvature}))
        learn(line, events(600, learners=150))
        assert line.increment.is_finite()


def test_nothing_is_estimated_where_the_line_is_frozen(line: Line) -> None:
    learn(line, events(400, learners=150))
    for _ in range(RULES.gate.rejections):
        line.reject()
    counts = learn(line, events(1500, seed=3, learners=300), first=400)
    assert counts["matrices_refreshed"] > 0
    assert not line.increment.weights.any()
