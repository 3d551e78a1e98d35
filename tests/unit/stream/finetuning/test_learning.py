"""A line learns what the stream shows, moves little, and is set back where the stream or a step is bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.course_sums.activity import Terms, activity, added
from recsys.errors import BundleError
from recsys.events import Interaction
from recsys.model.bundle import Bundle, as_bundle
from recsys.model.increment import Increment
from recsys.model.mixed_affinity import ACTIVITY
from recsys.model.scorer import Scorer
from recsys.record import EMPTY, RecordRules, join, record_of
from stream.finetuning.blocks import Block
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.judging import draft_of, verdict_on
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.rules import LearningRules
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, events, hybrid

Step = Callable[[Any, Sequence[Any]], tuple[Any, float]]


def line_of(parent: Bundle, step: Step, learning: LearningRules = LEARNING) -> Line:
    from recsys.model.increment_training import OptimizerState  # noqa: PLC0415 - TensorFlow

    return Line(parent, learning, RecordRules(), step=step, start=OptimizerState.at)


def learn(line: Line, clicks: Sequence[Interaction], *, first: int = 0) -> Counter[str]:
    return sum((learn_block(line, block) for block in blocks(clicks, first=first)), Counter())


def test_what_learners_take_now_rises(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(1200, learners=300))
    assert line.evidence.newest.difference.mean is not None
    assert line.evidence.newest.difference.interval().low > 0
    assert line.increment.bias[[1, 2, 3]].min() > np.median(line.increment.bias)


@pytest.mark.parametrize(
    ("difference", "looks", "kept"), [(0.01, 2, True), (-0.01, 2, False), (0.001, LEARNING.gate.evidence, False)]
)
def test_what_speaks_for_an_increment_adds_up_until_it_is_shown(
    parent: Bundle, step: Step, difference: float, looks: int, *, kept: bool
) -> None:
    """Of one that was worse on average nothing is kept, nor for ever of any: it may be another by now."""
    line = line_of(parent, step)
    for number in range(looks * LEARNING.gate.events):
        noise = 0.5 if number % 2 else -0.5
        line.evidence.newest = line.evidence.newest.added(0.5 + difference + noise, 0.5, START_MS + number)
    seen = line.evidence.newest.events
    assert verdict_on(line).outcome is Outcome.WAITING
    assert line.evidence.newest.events == (seen if kept else 0)


def test_the_bundle_ranks_as_the_line_does(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(600))
    scorer = Scorer(as_bundle(draft_of(line, Verdict(Outcome.PASSED, ""), at_ms=START_MS)))
    rows, sums = np.array([4, 9, 11], np.int32), np.array([3.0, 2.0, 5.0])
    model = line.situations.model(line.variant.item_item)
    situation = model.situation(0, rows, sums)
    assert situation is not None
    at_ms = START_MS
    stored = RecordRules().decay.stored(1.0, at_ms) * sums
    served = scorer.score("nobody", {f"c{row}": value for row, value in zip(rows, stored, strict=True)}, at_ms=at_ms)
    assert np.allclose(served, model.scores(situation, line.increment), atol=1e-3)
    parents = line.situations.model(line.situations.origin.item_item, frozen=True).situation(0, rows, sums)
    assert parents is not None
    assert np.allclose(
        line.situations.model(line.situations.origin.item_item, frozen=True).parent_scores(parents),
        Scorer(parent).score_rows(0, rows, stored, at_ms=at_ms),
        atol=1e-3,
    )
    none = Increment.none(N_COURSES, model.rank)
    assert np.array_equal(model.scores(situation, none), model.parent_scores(situation))


def test_completions_and_progress_are_no_labels(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    done = events(400)
    learn(line, done[:100])
    learned = line.learned
    kinds: list[tuple[Any, float | None]] = [("complete", None), ("progress", 1.0), ("dismiss", None)]
    after = [
        Interaction(f"d{number}", event.user_id, event.course_id, kind, event.timestamp, value)
        for number, event in enumerate(done[100:])
        for kind, value in (kinds[number % 3],)
    ]
    learn(line, after, first=100)
    assert line.learned == learned


def test_repeats_teach_nothing(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(300))
    learned = line.learned
    counts = learn(line, events(300), first=300)
    assert line.learned == learned
    assert counts["folded"] == 300


def test_what_the_parent_has_seen_is_kept_as_the_old_slice_and_not_learned(step: Step) -> None:
    line = line_of(as_bundle(hybrid(seen_until=500)), step)
    learn(line, events(500, learners=300))
    assert line.learned == 0
    assert line.evidence.old_slice(line.variant) is not None
    origin = line.situations.origin
    worse = origin.increment._replace(bias=np.linspace(-2, 2, N_COURSES).astype(np.float32))
    mine, parents = line.evidence.old_slice(origin._replace(increment=worse)) or (0.0, 0.0)
    assert mine != parents
    assert (parents, parents) == line.evidence.old_slice(origin)
    learn(line, events(100, seed=1, learners=300), first=500)
    assert line.learned > 0


def test_bots_teach_nothing(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    crawler = [
        Interaction(f"e{n}", "bot", f"c{n % N_COURSES}", "click", START_MS + n, user_agent="Googlebot/2.1")
        for n in range(100)
    ]
    counts = learn(line, crawler)
    assert counts["bot"] == 100
    assert line.learned == 0


def poisoned(**one: int) -> list[Interaction]:
    """200 ordinary events, and 400 of either one learner with many courses or many learners with one course."""
    rng = np.random.default_rng(3)
    found = events(600, seed=4, favourites=range(N_COURSES), learners=150)
    for number in range(200, 600):
        user, course = (0, int(rng.integers(N_COURSES))) if "learner" in one else (int(rng.integers(150)), 5)
        found[number] = Interaction(f"p{number}", f"u{user}", f"c{course}", "click", START_MS + number * 1000)
    return found


def test_one_learner_moves_hardly_anything(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    counts = sum((learn_block(line, block) for block in blocks(poisoned(learner=1))[4:]), Counter())
    assert counts["learned"] <= 8 * LEARNING.of_a_learner


def test_many_learners_with_one_course_are_capped_and_bounded(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step, replace(LEARNING, of_a_course=3))
    counts = learn(line, poisoned(course=1))
    assert counts["capped"] > 50
    assert line.increment.bias.max() <= 2.0


def test_a_batch_that_ends_in_no_numbers_is_not_taken(parent: Bundle, step: Step) -> None:
    calls = []

    def sometimes(state: Any, columns: Sequence[Any]) -> tuple[Any, float]:
        calls.append(1)
        if len(calls) == 3:
            columns = [np.full_like(columns[0], np.nan), *columns[1:]]
        return step(state, columns)

    line = line_of(parent, sometimes)
    counts = learn(line, events(300))
    assert counts["stopped_not_finite"] == 1
    assert line.increment.is_finite()
    assert counts["steps"] == len(calls) - 1


def test_a_spike_of_the_loss_is_not_taken_and_several_set_the_line_back(parent: Bundle, step: Step) -> None:
    calls = []

    def spiking(state: Any, columns: Sequence[Any]) -> tuple[Any, float]:
        calls.append(1)
        after, loss = step(state, columns)
        return after, loss * (50 if len(calls) > 25 else 1)

    line = line_of(parent, spiking, replace(LEARNING, stops=3))
    counts = learn(line, events(900, learners=300))
    assert counts["stopped_spike"] >= 3
    assert counts["set_back"] >= 1


def test_a_baseline_has_nothing_to_fine_tune(parent: Bundle, step: Step) -> None:
    bundle = replace(parent, arrays={"course_bias": parent.arrays["course_bias"]})
    with pytest.raises(BundleError, match="expected a hybrid model"):
        line_of(bundle, step)


def test_an_erased_learners_examples_leave_the_reservoir(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(300, learners=5))
    assert "u1" in line.state()["steps"]["reservoir"]["users"]
    learn(line, [Interaction("x", "u1", "", "erase", START_MS + 10**6)], first=300)
    assert "u1" not in line.state()["steps"]["reservoir"]["users"]


def test_a_label_is_not_learned_where_its_learner_is_erased_in_the_same_block(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(100, learners=5))
    clicks = [Interaction(f"e{n}", f"u{n % 2}", f"c{30 + n}", "click", START_MS + 10**6 + n) for n in range(8)]
    learned = line.learned
    learn(line, [*clicks, Interaction("x", "u1", "", "erase", START_MS + 10**6 + 9)], first=100)
    assert line.learned > learned
    assert "u1" not in line.state()["steps"]["reservoir"]["users"]


def test_rejected_increments_are_taken_back_and_freeze_the_line(parent: Bundle, step: Step) -> None:
    def downhill(state: Any, columns: Sequence[Any]) -> tuple[Any, float]:
        """A step against what learners take."""
        _, loss = step(state, columns)
        bias = state.increment.bias.copy()
        np.subtract.at(bias, columns[2][:, 0], 0.5)
        return state._replace(increment=state.increment._replace(bias=bias)), loss

    line = line_of(parent, downhill)
    first = 0
    for _ in range(2):
        learn(line, events(1200, seed=first, learners=600), first=first)
        first += 1200
        verdict = verdict_on(line)
        assert verdict.outcome is Outcome.REJECTED, verdict
        assert not line.increment.bias.any()
    assert line.frozen
    assert verdict_on(line).outcome is Outcome.FROZEN
    counts = learn(line, events(300, seed=9, learners=600), first=first)
    assert counts["frozen"] > 0
    assert counts["steps"] == 0


@pytest.mark.parametrize(("value", "liked"), [(1.0, False), (2.0, False), (3.0, False), (4.0, True), (5.0, True)])
def test_a_rating_is_a_label_where_the_batch_layer_calls_the_course_liked(
    parent: Bundle, step: Step, value: float, liked: bool
) -> None:
    line = line_of(parent, step)
    clicks = [Interaction(f"e{n}", f"u{n}", "c1", "click", START_MS + n) for n in range(10)]
    ratings = [Interaction(f"r{n}", f"u{n}", "c2", "rate", START_MS + 100 + n, value) for n in range(10)]
    counts = learn(line, [*clicks, *ratings])
    assert (counts["learned"] > 0) == liked


def test_each_label_is_predicted_before_it_is_learned(parent: Bundle) -> None:
    """The step here only raises the very courses that it is shown: it is no better at predicting what comes next."""

    def memorising(state: Any, columns: Sequence[Any]) -> tuple[Any, float]:
        bias = np.zeros_like(state.increment.bias)
        bias[columns[2][: LEARNING.fresh, 0]] = 50.0
        return state._replace(increment=state.increment._replace(bias=bias)), 1.0

    line = line_of(parent, memorising, replace(LEARNING, of_a_block=LEARNING.fresh))
    stream = blocks(events(1500, favourites=range(N_COURSES), learners=300))
    known_after = []
    for block in stream:
        learn_block(line, block)
        sample = list(line.evidence._sample)[-4:]
        found = [(each, line.situations.of(each, line.variant.item_item)) for each in sample]
        known_after += [
            line.situations.ndcg(situation, each.course, line.increment) for each, situation in found if situation
        ]
    predicted = line.evidence.newest.model.mean
    assert predicted is not None
    assert np.mean(known_after) > predicted + 0.1


def test_a_prediction_knows_nothing_of_other_learners_in_its_block(live_parent: Bundle, step: Step) -> None:
    stream = blocks(events(600, learners=150))
    last = stream[-1]
    by_learner = sorted(last.records, key=lambda record: record.key or b"")  # stable: each learner's in their order
    found = []
    for records in (last.records, by_learner):
        line = line_of(live_parent, step)
        for block in [*stream[:-1], Block(last.place, tuple(records))]:
            learn_block(line, block)
        found.append(line.evidence.newest)
    assert found[0].events == found[1].events
    assert found[0].model.mean == pytest.approx(found[1].model.mean, abs=1e-9)


def test_the_course_features_of_an_increment_are_those_of_its_records(live_parent: Bundle, step: Step) -> None:
    line = line_of(live_parent, step)
    clicks = [
        *events(200, learners=20),
        Interaction("b", "u3", "c4", "bookmark", START_MS + 500_000),
        Interaction("ub", "u3", "c4", "unbookmark", START_MS + 600_000),
        Interaction("x", "u5", "", "erase", START_MS + 700_000),
    ]
    learn(line, clicks)
    rules = RecordRules()
    held: dict[tuple[str, str], Any] = {}
    for event in clicks[:-2]:
        if event.user_id != "u5" and event.type == "click":
            pair = event.user_id, event.course_id
            held[pair] = join(held.get(pair, EMPTY), record_of(event, rules))
    expected = live_parent.arrays[ACTIVITY]
    for (_, course), record in held.items():
        times = sorted(at for at, _ in rules.liked(record))
        first = np.array([1] + [0] * (len(times) - 1))
        row = np.full(len(times), int(course[1:]))
        expected = added(expected, Terms(row, np.array(times, np.float64), np.ones(len(times)), first))
    draft = draft_of(line, Verdict(Outcome.PASSED, ""), at_ms=START_MS)
    found, wanted = (activity(each, line.last_ms) for each in (draft.arrays[ACTIVITY], expected))
    np.testing.assert_allclose(found.popularity, wanted.popularity, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.first_touches, wanted.first_touches, rtol=1e-9, atol=1e-9)
    assert not np.allclose(draft.arrays["features"], live_parent.arrays["features"])
    scorer = Scorer(as_bundle(draft))
    rows, sums = np.array([4, 9], np.int32), np.array([3.0, 2.0])
    situation = line.situations.model(line.variant.item_item).situation(0, rows, sums)
    assert situation is not None
    stored = RecordRules().decay.stored(1.0, START_MS) * sums
    served = scorer.score_rows(0, rows, stored, at_ms=START_MS)
    scores = line.situations.model(line.variant.item_item).scores(situation, line.increment)
    np.testing.assert_allclose(served, scores, atol=1e-3)


def test_what_a_retrain_under_a_running_line_has_seen_is_its_old_slice(parent: Bundle, step: Step) -> None:
    before = line_of(parent, step)
    learn(before, events(600, learners=200))
    assert before.evidence.old_slice(before.variant) is None
    after = line_of(as_bundle(hybrid(seen_until=400)), step)
    after.go_on_from(before.state())
    held = list(after.evidence._old)
    assert held
    assert all(each.offset < 400 for each in held)
    assert after.evidence.old_slice(after.variant) is not None
    again = line_of(as_bundle(hybrid(seen_until=600)), step)
    again.go_on_from(after.state())
    assert max(each.offset for each in again.evidence._old) >= 400


def test_an_erased_learners_moments_are_forgotten(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(300, learners=5))

    def users() -> set[str]:
        evidence = line.state()["evidence"]
        held = [*evidence["sample"], *evidence["old"]["old"]["held"], *evidence["old"]["since"]["held"]]
        return {each[0] for each in held}

    assert "u1" in users()
    learn(line, [Interaction("x", "u1", "", "erase", START_MS + 10**6)], first=300)
    assert "u1" not in users()


@pytest.mark.parametrize("poison", ["learner", "course"])
def test_the_caps_are_what_holds_poison(parent: Bundle, step: Step, poison: str) -> None:
    """The same stream teaches much more without them."""
    uncapped = replace(LEARNING, of_a_learner=10**6, of_a_course=10**6)
    learned = []
    for rules in (replace(LEARNING, of_a_learner=1, of_a_course=1), uncapped):
        line = line_of(parent, step, rules)
        learn(line, events(200, seed=4, favourites=range(N_COURSES), learners=150))
        learned.append(learn(line, poisoned(**{poison: 1})[200:], first=200)["learned"])
    assert learned[0] < 0.5 * learned[1]


@pytest.mark.parametrize("flood", ["learner", "course"])
def test_a_flood_is_at_most_a_quarter_of_what_is_learned(parent: Bundle, step: Step, flood: str) -> None:
    """With the caps that are in use, and as many other events as in the flood."""
    in_use = LearningRules()
    caps = {name: getattr(in_use, name) for name in ("of_a_block", "of_a_learner", "of_a_course")}
    line = line_of(parent, step, replace(LEARNING, reservoir=10**4, **caps))
    clicks = []
    for number, event in enumerate(events(1200, seed=4, favourites=range(N_COURSES), learners=600)):
        user, course = ("p", number % N_COURSES) if flood == "learner" else (f"p{number // 2}", 5 if number % 2 else 6)
        poison = Interaction(f"p{number}", user, f"c{course}", "click", event.timestamp)
        clicks += [event, poison]
    for block in blocks(clicks, size=256):
        learn_block(line, block)
    reservoir = line.state()["steps"]["reservoir"]
    of_course = int((reservoir["columns"]["courses"][:, 0] == 5).sum())
    of_flood = reservoir["users"].count("p") if flood == "learner" else of_course
    assert 0 < of_flood <= len(reservoir["users"]) / 4
