"""Each event is judged from what was known just before it, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from recsys.events import EventType, Interaction
from recsys.exclusion import Exclusion
from recsys.keys import Partition, Shard, Topology
from recsys.online_store import CachedTop
from recsys.online_store.memory import MemoryStore
from recsys.vocabulary import DEFAULT_WEIGHTS
from stream.monitor.figures import CACHED, HOUR_MS, MODEL, POPULARITY, Drift, Figures
from stream.monitor.judge import MOST_TRIALS, Judge, is_positive, is_sampled
from stream.monitor.popularity import Popularity
from tests.doubles.effects import effects
from tests.doubles.stream import FakeRecord, event

GROUP, SHARD, NOW_MS = "g", Shard(0), 1_790_000_000_000
COURSES = [f"c{n}" for n in range(20)]


class Alphabetical:
    """Ranks courses in the order of the catalogue."""

    version, catalogue = "v1", COURSES

    def rank(self, user_id: str, engagement: Mapping[str, float], *, at_ms: int, n: int, exclude: Any) -> Any:
        ranked = [course for course in COURSES if course not in exclude][:n]
        return ranked, [1.0] * len(ranked)

    def vector(self, course_id: str) -> None:
        return None


class World:
    def __init__(self, *, partitions: int = 1) -> None:
        self.store, self.counts = MemoryStore(), Counter[str]()
        self.figures, self.model = Figures(), [Alphabetical()]
        self.judge = Judge(
            self.store,
            lambda: next(iter(self.model), None),
            Topology(partitions),
            group=GROUP,
            weights=DEFAULT_WEIGHTS,
            exclusion=Exclusion(),
            share=1.0,
            popularity=Popularity(24 * HOUR_MS),
            now_ms=lambda: NOW_MS,
            count=lambda outcome: self.counts.update([outcome]),
            figures=self.figures,
            drift=Drift(),
        )

    async def send(self, *events: tuple[int, str, str], kind: str = "click") -> None:
        """Events as (offset, user, course), in one chunk."""
        await self.judge.take(Partition(0), [record(*event, kind=kind) for event in events])

    def ndcg(self, name: str) -> float:
        return self.figures.mean(name, "ndcg", "hour")


def record(offset: int, user: str, course: str, *, kind: str = "click") -> FakeRecord:
    return event(offset, user, course, kind, at=NOW_MS, arrival=NOW_MS)


async def test_an_event_is_judged_before_it_is_known() -> None:
    world = World()
    await world.send((5, "u", "c1"))
    assert world.counts == {"judged": 1}
    assert world.ndcg(MODEL) == pytest.approx(0.6309, abs=1e-4)  # second place
    assert world.ndcg(POPULARITY) == 0.0  # nobody had touched anything
    await world.send((6, "v", "c1"))
    assert world.ndcg(POPULARITY) == 0.5  # the second event found the first


async def test_an_event_that_a_worker_has_applied_is_not_judged() -> None:
    world = World()
    await world.store.commit(SHARD, GROUP, None, 5, effects(engagement={"u": {"c1": 1.0}}))
    await world.send((5, "u", "c1"))
    assert world.counts == {"late": 1}
    await world.send((6, "u", "c2"))
    assert world.counts == {"late": 1, "judged": 1}
    assert world.ndcg(MODEL) == pytest.approx(0.6309, abs=1e-4)  # c1 is seen and left out, so c2 is second


@pytest.mark.parametrize(("included", "judged"), [(5, True), (7, False), (None, False)])
async def test_a_cached_list_counts_where_it_cannot_contain_the_event(included: int | None, judged: bool) -> None:
    world = World()
    await world.store.commit(SHARD, GROUP, None, 5, effects(engagement={"u": {"c1": 1.0}}))
    # For an earlier mark, so that the list stays out of date and only its own offset speaks for it.
    await world.store.write_tops(SHARD, [(CachedTop("u", "v1", 1, ("c3", "c2"), (2.0, 1.0), included), 4)])
    await world.send((6, "u", "c3"))
    assert world.counts == {"judged": 1}
    assert (world.ndcg(CACHED) == 1.0) is judged


async def test_a_course_that_was_seen_before_says_nothing() -> None:
    world = World()
    await world.store.commit(SHARD, GROUP, None, 5, effects(engagement={"u": {"c1": 1.0}}))
    await world.send((6, "u", "c1"))
    assert world.counts == {"seen": 1}


async def test_of_a_chunk_the_first_event_of_a_learner_counts() -> None:
    world = World()
    await world.send((1, "u", "c1"), (2, "u", "c2"), (3, "v", "c2"), (4, "v", "nowhere"))
    assert world.counts == {"judged": 2, "not_sampled": 2}


async def test_a_course_that_the_model_does_not_know_is_counted_as_unjoined() -> None:
    world = World()
    await world.send((1, "u", "nowhere"))
    assert world.counts == {"unjoined": 1}


async def test_a_chunk_of_a_log_that_is_caught_up_with_costs_a_bounded_number_of_rankings() -> None:
    world = World()
    await world.send(*((n, f"u{n}", "c1") for n in range(10 * MOST_TRIALS)))
    assert world.counts == {"judged": MOST_TRIALS, "not_sampled": 9 * MOST_TRIALS}


async def test_what_is_no_event_of_this_partition_is_left_out() -> None:
    world = World(partitions=64)
    user = next(f"u{n}" for n in range(999) if Topology(64).shard_of(f"u{n}") == 0)
    other = next(f"u{n}" for n in range(999) if Topology(64).shard_of(f"u{n}") == 1)
    await world.judge.take(
        Partition(0), [FakeRecord(1, b"nonsense"), record(2, other, "c1"), record(3, user, "c1", kind="dismiss")]
    )
    assert not world.counts


async def test_without_a_model_popularity_learns_all_the_same() -> None:
    world = World()
    loaded = world.model.pop()
    await world.send((1, "u", "c1"))
    assert not world.counts
    world.model.append(loaded)
    await world.send((2, "v", "c1"))
    assert world.ndcg(POPULARITY) == 1.0


@pytest.mark.parametrize(
    ("kind", "value", "positive"),
    [
        ("click", None, True),
        ("enroll", None, True),
        ("dismiss", None, False),
        ("unenroll", None, False),
        ("unbookmark", None, False),
        ("rate", 5.0, True),
        ("rate", 3.0, False),
        ("erase", None, False),
    ],
)
def test_what_counts_as_positive(kind: EventType, value: float | None, positive: bool) -> None:
    assert is_positive(Interaction("e", "u", "c", kind, NOW_MS, value), DEFAULT_WEIGHTS) is positive


def test_a_sample_is_always_the_same_learners_and_grows_with_its_share() -> None:
    users = [f"u{n}" for n in range(2000)]
    tenth = {user for user in users if is_sampled(user, 0.1)}
    half = {user for user in users if is_sampled(user, 0.5)}
    assert 140 < len(tenth) < 260
    assert tenth < half
    assert all(is_sampled(user, 1.0) for user in users)
