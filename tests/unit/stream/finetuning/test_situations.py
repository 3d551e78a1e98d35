"""What a parent knows of learners: the same of one as of many."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from recsys.model.bundle import as_bundle
from stream.finetuning.moments import Moment
from stream.finetuning.situations import Situations
from tests.unit.stream.finetuning.drawn import N_COURSES, START_MS, hybrid


def moments(count: int) -> list[Moment]:
    """Of learners with 0 to 12 courses, some unknown to the parent, some without positive engagement."""
    rng, found = np.random.default_rng(2), list[Moment]()
    for number in range(count):
        known = [f"c{row}" for row in rng.permutation(N_COURSES)[: number % 12]]
        courses = [*known, "unknown"] if number % 3 else known
        engagement = rng.exponential(size=len(courses)) if number % 5 else np.zeros(len(courses))
        user = str(rng.choice(["ada", "bob", "nobody"]))
        found.append(Moment(user, courses, engagement, f"c{number % N_COURSES}", 0, number, START_MS + number))
    return found


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("at_a_time", [7, 1000])
def test_the_situations_of_a_batch_are_those_of_each_moment_alone_to_the_last_bit(
    at_a_time: int, *, frozen: bool
) -> None:
    parent = as_bundle(hybrid(live=True))
    situations = Situations(parent, rank=3, most_cells=at_a_time * N_COURSES)
    situations.now(np.full_like(parent.arrays["features"], 0.25))
    some, of = moments(60), situations.origin.item_item
    together = list(situations.of_all(some, of, frozen=frozen))
    alone = [situations.of(each, of, frozen=frozen) for each in some]
    assert 20 < sum(each is not None for each in together) < len(some)
    for one, other in zip(together, alone, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert all(np.array_equal(left, right) for left, right in zip(astuple(one), astuple(other), strict=True))
