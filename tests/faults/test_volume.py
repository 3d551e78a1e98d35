"""A small run of `make faults-volume`: random events with opposites, erasures and merges, on a real Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults import volume
from tests.faults.pairs import Pair
from tests.faults.shards import Learner, Shard


@pytest.mark.parametrize("seed", [1, 2])
def test_the_state_is_the_oracles_and_erased_learners_never_were(redis_url: str, seed: int) -> None:
    assert volume.run(6000, redis_url, seed=seed, users=300) == []


def test_a_difference_would_be_seen(redis_url: str) -> None:
    records = volume.produced(3000, seed=3, users=300)
    _, expected, have = volume.check(records, redis_url, seed=3)
    _, _, fewer = volume.check(records[:-300], redis_url, seed=3)
    assert volume.unequal(have, have, expected, {}) == []
    assert volume.unequal(have, fewer, expected, {}) != []


def test_only_progress_of_an_erased_learner_may_differ() -> None:
    with_progress, without = (Pair(touched=5, progress=progress) for progress in ((1, -4), None))
    clicked = replace(with_progress, flows=frozenset({(19_000, 1)}))

    def shards(pair: Pair, erased_until: int) -> dict[int, Shard]:
        return {0: Shard(learners={"u": Learner({"c": pair}, erased_until)})}

    assert volume.progress_apart(shards(with_progress, 3), shards(without, 3)) == {(0, "c"): with_progress.trend()}
    assert volume.progress_apart(shards(with_progress, 0), shards(without, 0)) == {}
    assert volume.progress_apart(shards(clicked, 3), shards(without, 3)) == {}
