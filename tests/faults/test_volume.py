"""A small run of `make faults-volume`: random events with opposites, erasures and merges, on a real Redis."""

from __future__ import annotations

import pytest

from tests.faults import volume


@pytest.mark.parametrize("seed", [1, 2])
def test_the_state_is_the_oracles_and_erased_learners_never_were(redis_url: str, seed: int) -> None:
    assert volume.run(6000, redis_url, seed=seed, users=300) == []


def test_a_difference_would_be_seen(redis_url: str) -> None:
    records = volume.produced(3000, seed=3, users=300)
    _, expected, have = volume.check(records, redis_url, seed=3)
    _, _, fewer = volume.check(records[:-300], redis_url, seed=3)
    assert volume.unequal(have, have, expected) == []
    assert volume.unequal(have, fewer, expected) != []
