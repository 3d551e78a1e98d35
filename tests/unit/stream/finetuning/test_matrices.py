"""The item-item matrices in training: those a retrain would make, when they are due, and how they are taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from batch.encoding import encode
from batch.preparation import rule_of
from batch.ranking.likes import likes_before
from recsys.events import Interaction
from recsys.model.bundle import Bundle, as_bundle
from recsys.model.item_item import Gram
from recsys.model.links import Links
from recsys.record import RecordRules
from recsys.settings import load_settings
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.judging import draft_of
from stream.finetuning.learners import Learners
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.matrices import made_anew
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, events, hybrid

Step = Callable[[Any, Sequence[Any]], tuple[Any, float]]


def dense(links: Links) -> Any:
    bounds, columns, weights = links
    found = np.zeros((N_COURSES, N_COURSES), np.float32)
    for row in range(N_COURSES):
        some = slice(bounds[row], bounds[row + 1])
        np.add.at(found[row], columns[some], weights[some])
    return found


def test_they_are_what_a_retrain_makes_of_the_same_events(live_parent: Bundle) -> None:
    learners, clicks = Learners(RecordRules(), limit=10**6, max_courses=10**6), events(800, learners=50)
    for click in clicks:
        learners.apply(click)
    row_of = {course.course_id: row for row, course in enumerate(live_parent.courses)}
    text = tuple(live_parent.arrays[f"text_{part}"] for part in ("indptr", "indices", "weights"))
    at_ms = START_MS + 10**6
    ease, future = made_anew(learners.liked(row_of), text, at_ms=at_ms, l2=20.0, per_row=N_COURSES)  # type: ignore[arg-type] # of three
    frame = pd.DataFrame(
        [(each.user_id, each.course_id, each.type, each.timestamp, None) for each in clicks],
        columns=["user_id", "course_id", "type", "timestamp", "value"],
    )
    encoded = encode(frame, live_parent.courses, rule_of(load_settings()))
    inverse = Gram(likes_before(encoded, at_ms)).inverse(20.0)
    np.testing.assert_allclose(dense(ease), inverse.ease(), atol=1e-5)
    np.testing.assert_allclose(dense(future), inverse.future(), atol=1e-4)


def line_of(parent: Bundle, step: Step, **rules: Any) -> Line:
    from recsys.model.increment_training import OptimizerState  # noqa: PLC0415 - TensorFlow

    learning = replace(LEARNING, **{"refresh_known": 0.5, **rules})
    return Line(parent, learning, RecordRules(), step=step, start=OptimizerState.at)


def learn(line: Line, clicks: Sequence[Interaction], *, first: int = 0) -> Counter[str]:
    return sum((learn_block(line, block) for block in blocks(clicks, first=first)), Counter())


def test_they_are_made_anew_each_time_the_likes_grew_by_a_share(live_parent: Bundle, step: Step) -> None:
    line = line_of(live_parent, step)
    counts = learn(line, events(1500, learners=150))
    assert counts["matrices_refreshed"] == 2  # at 3 and at 9 times the 40 likes that the parent has seen
    assert line.variant.item_item.number == 2
    draft = draft_of(line, Verdict(Outcome.WAITING, ""), at_ms=START_MS)
    assert not np.array_equal(draft.arrays["ease_weights"], live_parent.arrays["ease_weights"])


def test_they_are_made_anew_no_more_often_than_every_so_many_seconds_of_events(live_parent: Bundle, step: Step) -> None:
    """One event a second here, so each block of 50 is 50 s."""
    refreshes = []
    for refresh_ms in (0, 200_000):
        line = line_of(live_parent, step, refresh_growth=0.01, refresh_ms=refresh_ms)
        clicks, found = blocks(events(1000, learners=150)), list[int]()
        for place, block in enumerate(clicks):
            found += [place] * learn_block(line, block)["matrices_refreshed"]
            again = line_of(live_parent, step, refresh_growth=0.01, refresh_ms=refresh_ms)
            again.restore(line.state())  # a restart waits no less
            line = again
        refreshes.append(found)
    assert len(refreshes[0]) > 10
    assert len(refreshes[1]) >= 2
    assert min(np.diff(refreshes[1])) >= 4


def test_the_first_of_so_many_refreshes_makes_them_anew_and_the_others_estimate_weights_alone(
    live_parent: Bundle, step: Step
) -> None:
    parent, done = live_parent, list[tuple[str, int]]()
    for block in blocks(events(1000, learners=150)):
        if not done:
            line = line_of(parent, step, refresh_growth=0.05, refresh_ms=0, matrices_every=3)
        counts = learn_block(line, block)
        done += [(each, counts["reweighed"]) for each in ("matrices_refreshed", "matrices_kept") if counts[each]]
        again = line_of(parent, step, refresh_growth=0.05, refresh_ms=0, matrices_every=3)
        again.restore(line.state())  # a restart counts on
        line = again
    assert len(done) > 6
    every = ["matrices_refreshed", "matrices_kept", "matrices_kept"]
    assert [what for what, _ in done] == (every * len(done))[: len(done)]
    assert all(reweighed for _, reweighed in done[4:])


def test_each_refresh_looks_whether_enough_is_known_until_it_is(live_parent: Bundle, step: Step) -> None:
    """Else weights would be estimated from histories of which the most is missing."""
    line = line_of(live_parent, step, refresh_growth=0.05, refresh_known=1.1, matrices_every=3)
    counts = learn(line, events(1000, learners=150))
    assert counts["matrices_too_little_known"] > 3
    assert not counts["matrices_kept"]
    assert not counts["reweighed"]


def test_those_of_the_parent_stay_where_too_few_of_its_likes_are_known(live_parent: Bundle, step: Step) -> None:
    line = line_of(live_parent, step, refresh_known=1.1)
    counts = learn(line, events(1500, learners=150))
    assert counts["matrices_too_little_known"] == 2
    assert not counts["matrices_refreshed"]
    assert line.variant.item_item.number == 0


def test_a_parent_that_does_not_say_how_much_it_has_seen_keeps_its_own(parent: Bundle, step: Step) -> None:
    line = line_of(parent, step)
    assert not learn(line, events(1500, learners=150))["matrices_refreshed"]


def test_what_they_rank_lower_is_not_what_an_increment_forgot() -> None:
    """The old slice is held against the parent with the same matrices, else a refresh would count as forgetting."""
    line = line_of(as_bundle(hybrid(seen_until=500, live=True)), still, least_lists=10**6)
    learn(line, events(500, learners=150))
    before = line.evidence.old_slice(line.variant)
    learn(line, events(400, seed=1, learners=150), first=500)
    assert line.variant.item_item.number > 0
    after = line.evidence.old_slice(line.variant)
    assert before is not None
    assert after is not None
    assert before[0] == before[1] != after[0] == after[1]


def test_a_rejection_takes_them_back(live_parent: Bundle, step: Step) -> None:
    line = line_of(live_parent, step)
    learn(line, events(1500, learners=150))
    line.reject()
    assert line.variant.item_item is line.situations.origin.item_item


def still(state: Any, _columns: Sequence[Any]) -> tuple[Any, float]:
    """A step that changes nothing."""
    return state, 1.0


def test_labels_that_come_later_are_predicted_with_them_and_with_those_published(live_parent: Bundle) -> None:
    """Steps change nothing here, so the matrices are all that differs from what is published."""
    line = line_of(live_parent, still)
    learn(line, events(200, learners=150))
    assert line.variant.item_item.number == 1
    line.evidence.decided()
    learn(line, events(200, seed=1, learners=150), first=200)
    assert line.evidence.newest.difference.squared_total > 0
    frozen = line_of(live_parent, still, refresh_growth=float("inf"))
    learn(frozen, events(400, learners=150))
    assert frozen.evidence.newest.difference.squared_total == 0


@pytest.mark.parametrize("published", [False, True])
def test_they_are_in_the_checkpoint(live_parent: Bundle, published: bool) -> None:
    line, again = line_of(live_parent, still), line_of(live_parent, still)
    learn(line, events(400, learners=150))
    if published:
        line.propose("next")
        line.was_published()
    again.restore(line.state())
    for found, wanted in ((again.variant, line.variant), (again.lineage.of_published, line.lineage.of_published)):
        assert found.item_item.number == wanted.item_item.number
        assert np.array_equal(dense(found.item_item.future), dense(wanted.item_item.future))
    assert (again.variant.item_item is again.lineage.of_published.item_item) == published
