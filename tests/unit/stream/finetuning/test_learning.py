"""A line learns what the stream shows, moves little, and is set back where the stream or a step is bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.errors import BundleError
from recsys.events import Interaction
from recsys.model.bundle import Bundle, as_bundle
from recsys.model.increment import Increment
from recsys.model.increment_training import OptimizerState
from recsys.model.scorer import Scorer
from recsys.record import RecordRules
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.learning import LearningRules, Line
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, events, hybrid

Step = Callable[[Any, Sequence[Any]], tuple[Any, float]]


def line_of(parent: Bundle, step: Step, learning: LearningRules = LEARNING) -> Line:
    return Line(parent, learning, RecordRules(), step=step, start=OptimizerState.at)


def learn(line: Line, clicks: Sequence[Interaction], *, first: int = 0) -> Counter[str]:
    return sum((line.learn(block) for block in blocks(clicks, first=first)), Counter())


def test_what_learners_take_now_rises(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(1200, learners=300))
    assert line.newest.difference.mean is not None
    assert line.newest.difference.interval().low > 0
    assert line.increment.bias[[1, 2, 3]].min() > np.median(line.increment.bias)


def test_the_bundle_ranks_as_the_line_does(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    learn(line, events(600))
    scorer = Scorer(as_bundle(line.draft(Verdict(Outcome.PASSED, ""), at_ms=START_MS)))
    rows, sums = np.array([4, 9, 11], np.int32), np.array([3.0, 2.0, 5.0])
    situation = line.model.situation(0, rows, sums)
    assert situation is not None
    at_ms = START_MS
    stored = RecordRules().decay.stored(1.0, at_ms) * sums
    served = scorer.score("nobody", {f"c{row}": value for row, value in zip(rows, stored, strict=True)}, at_ms=at_ms)
    assert np.allclose(served, line.model.scores(situation, line.increment), atol=1e-3)
    assert np.allclose(
        line.model.parent_scores(situation), Scorer(parent).score_rows(0, rows, stored, at_ms=at_ms), atol=1e-3
    )
    none = Increment.none(N_COURSES, line.model.rank)
    assert np.array_equal(line.model.scores(situation, none), line.model.parent_scores(situation))


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
    assert line.old_slice(line.increment) is not None
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
    counts = sum((line.learn(block) for block in blocks(poisoned(learner=1))[4:]), Counter())
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
    assert "u1" in line.state()["reservoir"]["users"]
    learn(line, [Interaction("x", "u1", "", "erase", START_MS + 10**6)], first=300)
    assert "u1" not in line.state()["reservoir"]["users"]


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
        learn(line, events(600, seed=first, learners=600), first=first)
        first += 600
        verdict = line.judge()
        assert verdict.outcome is Outcome.REJECTED, verdict
        assert not line.increment.bias.any()
    assert line.frozen
    assert line.judge().outcome is Outcome.FROZEN
    counts = learn(line, events(300, seed=9, learners=600), first=first)
    assert counts["frozen"] > 0
    assert counts["steps"] == 0
