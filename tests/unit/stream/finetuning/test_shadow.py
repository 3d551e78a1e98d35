"""A candidate lists what was learned, ranked from its arrays as in use; one that is broken agrees with nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.model.bundle import Bundle, as_bundle
from recsys.model.mixed_affinity import ACTIVITY
from recsys.record import RecordRules
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.judging import draft_of
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.moments import Moment
from stream.finetuning.shadow import as_in_use
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, events, hybrid


@pytest.fixture(params=[False, True], ids=["frozen", "live"])
def learned(request: pytest.FixtureRequest, step: Any, start: Any) -> Line:
    """A line after some blocks, of a parent with and without live course features."""
    line = Line(as_bundle(hybrid(live=request.param)), LEARNING, RecordRules(), step=step, start=start)
    for block in blocks(events(1200, learners=400)):
        learn_block(line, block)
    return line


def candidate_of(line: Line) -> Bundle:
    return as_bundle(draft_of(line, Verdict(Outcome.PASSED, ""), at_ms=START_MS + 10**9))


def test_the_candidate_lists_what_the_increment_in_training_does(learned: Line) -> None:
    """And not what is published: so agreement 1 with it says that the arrays are those that were judged."""
    top = as_in_use(candidate_of(learned))
    assert learned.evidence.agreement(top, learned.variant) > 0.99
    assert learned.evidence.agreement(top, learned.lineage.of_published) < 0.97


def test_the_parent_agrees_with_itself(learned: Line) -> None:
    now = {name: array for name, array in candidate_of(learned).arrays.items() if name in {"features", ACTIVITY}}
    parent = replace(learned.parent, arrays={**learned.parent.arrays, **now})
    assert learned.evidence.agreement(as_in_use(parent), learned.situations.origin) > 0.99


def test_arrays_of_other_courses_agree_by_chance_at_most(learned: Line) -> None:
    candidate = candidate_of(learned)
    other = np.roll(np.arange(N_COURSES), 11)
    rows = ("course_vectors", "course_bias", "history_vectors", "features")
    mixed = replace(candidate, arrays={**candidate.arrays, **{name: candidate.arrays[name][other] for name in rows}})
    assert learned.evidence.agreement(as_in_use(mixed), learned.lineage.of_published) < 0.6


def test_a_learner_whom_nobody_knows_has_a_list(parent: Bundle) -> None:
    moment = Moment("nobody", ["c1", "gone"], np.array([1.0, 2.0]), "c2", 0, 5, START_MS)
    top = as_in_use(parent)(moment)
    assert len(top) == 10
    assert not {"c1", "gone", "c7"} & set(top)
