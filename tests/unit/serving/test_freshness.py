"""An answer says which events it contains; one that is asked for is waited for, ranked, or admitted to be missing."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.keys import DIRTY, ENGAGEMENT, MERGED, partition_of
from recsys.online_store import CachedTop, Effects
from recsys.online_store.operations import SHARD_ITSELF, PutValues, SortedSetMark
from serving.recommend.ranking_times import REST, RankingTimes
from tests.doubles.effects import scored

PARTITIONS = 6
PARTITION = partition_of("ada", PARTITIONS)


async def apply(world: Any, offset: int, *, users: tuple[str, ...] = ("ada",), course: str = "c1") -> None:
    """Applies an event of each learner at an offset, as a worker does."""
    shard, group = PARTITION, world.settings.consumer_group
    changes = Effects(
        [
            PutValues(ENGAGEMENT, {user: {course: scored(1.0)} for user in users}, indexed=True),
            SortedSetMark(DIRTY, users),
        ]
    )
    assert await world.store.commit(shard, group, await world.store.fence(shard, group), offset, changes)


async def refresh(world: Any, *, mark: int, included: int | None) -> None:
    """Writes ada's list as a worker does."""
    ids = tuple(f"c{i}" for i in range(30, 40))
    top = CachedTop("ada", (await world.store.model()).version, world.clock.now_ms, ids, (1.0,) * 10, included)
    assert await world.store.write_tops(PARTITION, [(top, mark)]) == 1


def outcomes(world: Any) -> dict[str, float]:
    names = ("list", "ranked", "late", "unknown")
    value = world.service.metrics.registry.get_sample_value
    found = {name: value("recsys_after_offset_total", {"outcome": name}) for name in names}
    return {name: count for name, count in found.items() if count}


def freshness(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["source"], answer["partition"], answer["included_offset"], answer["fresh"]


@pytest.fixture
async def followed(world: Any) -> Any:
    await world.publish()
    await world.poll()
    await apply(world, 5)
    await refresh(world, mark=5, included=5)
    return world


async def test_an_answer_names_the_offset_up_to_which_it_contains_the_learners_events(followed: Any) -> None:
    assert freshness(await followed.recommend("ada")) == ("cached", PARTITION, 5, None)
    await apply(followed, 6)
    assert freshness(await followed.recommend("ada")) == ("model", PARTITION, 6, None)


async def test_a_list_that_is_out_of_date_gives_way_to_a_ranking_where_there_is_time(followed: Any) -> None:
    """So a click is seen in the next answer, also beside a load under which lists are written seconds later."""
    now = 0.0
    times = followed.service.ladder._ranking_times = RankingTimes(lambda: now)
    with times.measured():
        now += 0.5
    await apply(followed, 6, course="c33")
    now += 0.99 * REST * 0.5
    assert freshness(await followed.recommend("ada")) == ("cached", PARTITION, 5, None)
    now += 0.02 * REST * 0.5
    answer = await followed.recommend("ada")
    assert freshness(answer) == ("model", PARTITION, 6, None)
    assert "c33" not in [course["course_id"] for course in answer["recommendations"]]


async def test_a_process_whose_model_is_not_the_published_one_leaves_a_list_of_that_as_it_is(followed: Any) -> None:
    broken = await followed.publish(seed=1)
    (broken / "manifest.json").write_text("{}")
    await followed.poll()
    await apply(followed, 6)
    await refresh(followed, mark=6, included=6)
    await apply(followed, 7)
    assert freshness(await followed.recommend("ada")) == ("cached", PARTITION, 6, None)


async def test_a_list_that_contains_the_event_is_the_answer(followed: Any) -> None:
    answer = await followed.recommend("ada", after_offset=5, after_partition=PARTITION)
    assert freshness(answer) == ("cached", PARTITION, 5, True)
    assert outcomes(followed) == {"list": 1}


async def test_an_event_that_changed_nothing_is_contained_once_it_is_passed(followed: Any) -> None:
    shard, group = PARTITION, followed.settings.consumer_group
    assert await followed.store.commit(shard, group, 5, 9, Effects())
    assert freshness(await followed.recommend("ada", after_offset=9)) == ("cached", PARTITION, 9, True)


async def test_where_the_list_does_not_follow_the_answer_is_ranked_from_the_state(followed: Any) -> None:
    await apply(followed, 6, course="c33")
    answer = await followed.recommend("ada", after_offset=6)
    assert freshness(answer) == ("model", PARTITION, 6, True)
    assert "c33" not in [course["course_id"] for course in answer["recommendations"]]  # seen by now
    assert outcomes(followed) == {"ranked": 1}


async def test_an_event_that_is_not_applied_in_time_is_admitted_to_be_missing(followed: Any) -> None:
    assert freshness(await followed.recommend("ada", after_offset=6)) == ("cached", PARTITION, 5, False)
    assert outcomes(followed) == {"late": 1}


async def test_an_event_of_another_partition_cannot_be_told_of(followed: Any) -> None:
    answer = await followed.recommend("ada", after_offset=1, after_partition=(PARTITION + 1) % PARTITIONS)
    assert freshness(answer) == ("cached", PARTITION, 5, False)
    assert outcomes(followed) == {"unknown": 1}


async def test_of_a_merged_learner_nothing_is_said(followed: Any) -> None:
    shard, group = PARTITION, followed.settings.consumer_group
    merged = Effects([PutValues(MERGED, {SHARD_ITSELF: {"ada": b"1 1 bob"}})])
    assert await followed.store.commit(shard, group, 5, 6, merged)
    assert freshness(await followed.recommend("ada", after_offset=5)) == ("cached", None, None, False)
    assert outcomes(followed) == {"unknown": 1}


async def test_a_learner_without_a_list_is_ranked_from_the_state_at_the_fence(followed: Any) -> None:
    other = next(f"u{n}" for n in range(100) if partition_of(f"u{n}", PARTITIONS) == PARTITION)
    assert freshness(await followed.recommend(other, after_offset=5)) == ("model", PARTITION, 5, True)


async def test_without_redis_the_list_that_is_remembered_says_what_it_contains(followed: Any) -> None:
    await followed.recommend("ada")
    followed.outage.down = True
    assert freshness(await followed.recommend("ada")) == ("process-cache", PARTITION, 5, None)
    assert freshness(await followed.recommend("ada", after_offset=5)) == ("process-cache", PARTITION, 5, True)
    assert freshness(await followed.recommend("ada", after_offset=6)) == ("process-cache", PARTITION, 5, False)


async def test_trending_contains_nobodys_events(world: Any) -> None:
    await world.trend("c1", "c2")
    await world.poll()
    assert freshness(await world.recommend("ada", after_offset=0)) == ("trending", PARTITION, None, False)


@pytest.mark.parametrize(
    "parameters",
    [{"after_offset": "-1"}, {"after_offset": "x"}, {"after_offset": "9" * 19}, {"after_partition": "1"}],
)
async def test_an_offset_that_is_none_is_refused(world: Any, parameters: dict[str, str]) -> None:
    response = await world.get("/v1/users/ada/recommendations", **parameters)
    assert (response.status_code, response.json()["error"]) == (422, "invalid_parameter")
    assert "after_" in response.json()["detail"]
