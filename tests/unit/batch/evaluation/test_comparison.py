"""A comparison is refused where nothing can be compared; whole ones are in tests/integration/test_comparisons.py."""

from __future__ import annotations

import pytest

from batch.evaluation.comparison import run_experiment
from benchmarks.shapes import SHAPES, draw
from recsys.errors import InputError
from tests.doubles.two_subjects import QUICK, RULE


def test_a_history_at_one_instant_is_refused_with_the_reason() -> None:
    events, courses = draw(SHAPES["small"], seed=1)
    with pytest.raises(InputError, match="cannot be cut in time where all of its events are at one instant"):
        run_experiment(events.assign(timestamp=events["timestamp"].min()), courses, QUICK, RULE)
