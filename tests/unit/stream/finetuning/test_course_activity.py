"""Sums of courses after changes of records are those of the records as they are, whatever came or went between."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from recsys.course_sums.activity import SUMS, untouched
from recsys.model.mixed_affinity import ACTIVITY
from stream.finetuning.course_activity import CourseActivity
from stream.finetuning.learners import Change

DAY_MS = 86_400_000
RECORDS = [(), (1,), (2,), (1, 1), (1, 2), (2, 1), (3, 2), (1, 1, 2), (1, 2, 2), (2, 2, 2)]
"""Days of the contributions of a record; a day that is named twice is of two contributions at one instant."""


class Rules:
    """Of records that are the days of their contributions."""

    def liked(self, record: tuple[int, ...]) -> list[tuple[int, float]]:
        return [(day * DAY_MS, 1.0) for day in record]


def sums(*records: tuple[int, ...]) -> Any:
    """Of one course and one learner, whose record becomes each of these in turn."""
    rules: Any = Rules()
    found = CourseActivity({ACTIVITY: untouched(1)}, {"c": 0}, rules)
    states: list[Any] = [(), *records]
    for was, now in itertools.pairwise(states):
        found.add([Change("c", was, now)])
    vectors = found.state()
    assert vectors is not None
    return vectors[0, :SUMS]  # of the first and the last time nothing is taken back


@pytest.mark.parametrize(("was", "now"), list(itertools.product(RECORDS, RECORDS)))
def test_sums_are_those_of_the_record_as_it_is(was: tuple[int, ...], now: tuple[int, ...]) -> None:
    begun = (3, 3, 3)  # all sums are as of the last day, so that they may be compared
    np.testing.assert_allclose(sums(begun, was, now), sums(begun, now), rtol=1e-9, atol=1e-9)
