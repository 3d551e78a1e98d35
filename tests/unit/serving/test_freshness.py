"""An answer says which events it contains; one that is asked for is waited for, ranked, or admitted to be missing."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import DIRTY, ENGAGEMENT, MERGED, Topology, partition_of
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
    user_states = followed.outage.store.user_states
    followed.outage.user_states = None  # nor are the records read in vain
    assert freshness(await followed.recommend("ada")) == ("cached", PARTITION, 5, None)
    followed.outage.user_states = user_states
    now += 0.02 * REST * 0.5
    answer = await followed.recommend("ada")
    assert freshness(answer) == ("model", PARTITION, 6, None)
    assert "c33" not in [course["course_id"] for course in answer["recommendations"]]


async def test_of_many_requests_at_once_only_as_many_are_ranked_as_there_is_time_for(followed: Any) -> None:
    """Each reads the learner's records before it ranks, so all of them could find that there is time."""
    now = 0.0
    followed.service.ladder._ranking_times = RankingTimes(lambda: now)
    model = followed.service.models.current
    rank = model.rank

    def slowly(*args: Any, **options: Any) -> Any:
        nonlocal now
        now += 0.005
        return rank(*args, **options)

    model.rank = slowly
    await apply(followed, 6)
    answers = await asyncio.gather(*(followed.recommend("ada") for _ in range(20)))
    assert sorted(answer["source"] for answer in answers) == ["cached"] * 19 + ["model"]


@pytest.mark.parametrize("error", [UnreadableState("{s0}:eng:ada", "holds no record"), ServiceUnavailable("away")])
@pytest.mark.parametrize("after", [{}, {"after_offset": 6}])
async def test_a_list_does_not_give_way_to_a_ranking_that_knows_nothing_of_the_learner(
    followed: Any, error: Exception, after: dict[str, int]
) -> None:
    """Where the records cannot be read: a worker cannot rank them either, so the list stays out of date."""

    async def user_states(*_: object) -> NoReturn:
        raise error

    await apply(followed, 6)
    followed.outage.user_states = user_states
    fresh = False if after else None
    assert freshness(await followed.recommend("ada", **after)) == ("cached", PARTITION, 5, fresh)


async def test_a_list_of_a_model_that_was_loaded_meanwhile_does_not_give_way_to_the_one_before(followed: Any) -> None:
    listed = followed.outage.store.listed

    async def published_meanwhile(*args: Any) -> Any:
        await followed.publish(seed=1)
        await followed.poll()
        await apply(followed, 6)
        await refresh(followed, mark=6, included=6)
        await apply(followed, 7)
        return await listed(*args)

    followed.outage.listed = published_meanwhile
    answer = await followed.recommend("ada")
    assert freshness(answer) == ("cached", PARTITION, 6, None)
    assert answer["model_version"] == followed.service.models.current.version


async def test_a_ranking_is_made_from_the_shard_whose_fence_it_names(followed: Any) -> None:
    """A rebuild switches to shards that reach to the fences at its start; what came since is applied to them later."""
    (seen,), _ = followed.service.models.current.rank("ada", {}, at_ms=followed.clock.now_ms, n=1)
    await apply(followed, 6, course=seen)
    listed, learners = followed.outage.store.listed, followed.service.ladder._learners

    async def listed_before_the_switch(*args: Any) -> Any:
        found = await listed(*args)
        learners.topology = Topology(PARTITIONS, 1)
        return found

    followed.outage.listed = listed_before_the_switch
    answer = await followed.recommend("ada", after_offset=6)
    assert freshness(answer) == ("model", PARTITION, 6, True)
    assert seen not in [course["course_id"] for course in answer["recommendations"]]


async def test_without_a_model_the_list_is_waited_for(followed: Any) -> None:
    """There is no ranking that could take its place."""
    followed.service.models.current = None
    await apply(followed, 6)
    listed, asked = followed.outage.store.listed, 0

    async def refreshed_meanwhile(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            await refresh(followed, mark=6, included=6)
        return await listed(*args)

    followed.outage.listed = refreshed_meanwhile
    assert freshness(await followed.recommend("ada", after_offset=6)) == ("cached", PARTITION, 6, True)


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
    await apply(followed, 7)  # whoever marked them: a ranking here would be for an unknown learner
    assert freshness(await followed.recommend("ada")) == ("cached", None, None, None)
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
