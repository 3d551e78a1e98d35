"""Each rung answers when those above it cannot, says so, is counted, and keeps every filter."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from recsys.online_store import Trending

NOW_MS = 1_790_000_000_000
ALL = [f"c{i}" for i in range(40)]
NOT_RETIRED = [course_id for course_id in ALL if course_id != "c7"]


async def on_cached(world: Any) -> None:
    await world.publish()
    await world.cache("ada", ALL)
    await world.poll()


async def on_process_cache(world: Any) -> None:
    await on_cached(world)
    await world.recommend("ada")
    world.outage.down = True


async def on_model(world: Any) -> None:
    await world.publish()
    await world.poll()


async def on_trending(world: Any) -> None:
    """The catalogue is known from an earlier snapshot, the model is gone."""
    await world.publish()
    await world.trend(*ALL)
    await world.poll()
    world.service.models.current = None


async def on_snapshot(world: Any) -> None:
    await world.publish()
    await world.trend(*ALL)
    await world.poll()
    world.outage.down = True
    world.restarted().trending.load()


RUNGS = {
    "cached": on_cached,
    "process-cache": on_process_cache,
    "model": on_model,
    "trending": on_trending,
    "snapshot": on_snapshot,
}
each_rung = pytest.mark.parametrize(("source", "prepare"), RUNGS.items())
Prepare = Callable[[Any], Awaitable[None]]


def counted(world: Any, source: str) -> float:
    return world.service.metrics.registry.get_sample_value("recsys_recommendations_total", {"source": source}) or 0.0


@each_rung
async def test_a_rung_answers_names_itself_and_is_counted(world: Any, source: str, prepare: Prepare) -> None:
    await prepare(world)
    before = counted(world, source)
    answer = await world.recommend("ada", n=5)
    assert answer["source"] == source
    assert len(answer["recommendations"]) == 5
    assert all(row["title"] == f"Course {row['course_id'][1:]}" for row in answer["recommendations"])
    scores = [row["score"] for row in answer["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert counted(world, source) == before + 1


@each_rung
async def test_retired_courses_are_on_no_rung(world: Any, source: str, prepare: Prepare) -> None:
    await prepare(world)
    answer = await world.recommend("ada", n=len(NOT_RETIRED))
    assert answer["source"] == source
    assert {row["course_id"] for row in answer["recommendations"]} == set(NOT_RETIRED)


@each_rung
async def test_excluded_courses_are_on_no_rung_and_n_still_come(world: Any, source: str, prepare: Prepare) -> None:
    await prepare(world)
    gone = [row["course_id"] for row in (await world.recommend("ada", n=5))["recommendations"]]
    answer = await world.recommend("ada", n=5, exclude=gone)
    assert answer["source"] == source
    assert len(answer["recommendations"]) == 5
    assert not set(gone) & {row["course_id"] for row in answer["recommendations"]}


@each_rung
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("category", "art", {f"c{i}" for i in range(40) if i % 3 == 1 and i != 7}),
        ("level", "BEGINNER", {f"c{i}" for i in range(40) if i % 2 == 0}),
        ("language", "de", {f"c{i}" for i in range(40) if i % 5 == 0}),
    ],
)
async def test_attributes_hold_on_every_rung(
    world: Any, source: str, prepare: Prepare, name: str, value: str, expected: set[str]
) -> None:
    await prepare(world)
    answer = await world.recommend("ada", **{name: value, "n": len(expected)})
    assert answer["source"] == source
    assert {row["course_id"] for row in answer["recommendations"]} == expected


@pytest.mark.parametrize("prepare", RUNGS.values())
async def test_a_category_that_no_course_has_is_an_empty_answer(world: Any, prepare: Prepare) -> None:
    await prepare(world)
    assert (await world.recommend("ada", category="no such"))["recommendations"] == []


async def test_attributes_are_combined(world: Any) -> None:
    await on_model(world)
    answer = await world.recommend("ada", category="Data", level="Beginner", language="de", n=50)
    assert {row["course_id"] for row in answer["recommendations"]} == {"c0", "c30"}


@pytest.mark.parametrize("source", ["cached", "model", "trending"])
async def test_a_course_that_was_left_comes_back_by_itself_when_its_time_has_passed(world: Any, source: str) -> None:
    """Though it was seen, and nothing is written then; a list from before that gives way to a new ranking."""
    await world.engage("ada", c1=-3.0, c2=2.0)
    await world.finish("ada", "c1", until_ms=NOW_MS + 1000)
    await RUNGS[source](world)
    if source == "cached":
        await world.cache("ada", [course_id for course_id in ALL if course_id not in ("c1", "c2")])
    for later_ms, answered, back in ((999, source, False), (1000, "model" if source == "cached" else source, True)):
        world.clock.now_ms = NOW_MS + later_ms
        answer = await world.recommend("ada", n=37)
        assert answer["source"] == answered
        assert ("c1" in {row["course_id"] for row in answer["recommendations"]}) == back


async def test_a_list_computed_since_a_course_came_back_is_served(world: Any) -> None:
    await world.finish("ada", "c1", until_ms=NOW_MS - 1)
    await on_cached(world)
    assert (await world.recommend("ada", n=5))["source"] == "cached"


@pytest.mark.parametrize("source", [source for source in RUNGS if source != "snapshot"])
async def test_done_courses_are_on_no_rung(world: Any, source: str) -> None:
    """On the snapshot's rung a fresh process without Redis cannot know them."""
    await world.finish("ada", "c1", "c2", "c3")
    await RUNGS[source](world)
    answer = await world.recommend("ada", n=30)
    assert answer["source"] == source
    assert len(answer["recommendations"]) == 30
    assert not {"c1", "c2", "c3"} & {row["course_id"] for row in answer["recommendations"]}


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("source", ["model", "trending"])
async def test_seen_courses_are_on_no_rung_that_ranks_now_unless_the_setting_shows_them(
    world: Any, source: str, exclude_seen: bool
) -> None:
    """A cached list was made without them; a process without Redis cannot know them."""
    world.settings = world.settings.model_copy(update={"exclude_seen": exclude_seen})
    world.restarted()
    await world.engage("ada", c1=5.0, c2=5.0)
    await RUNGS[source](world)
    answer = await world.recommend("ada", n=len(NOT_RETIRED))
    assert answer["source"] == source
    expected = set(NOT_RETIRED) - ({"c1", "c2"} if exclude_seen else set())
    assert {row["course_id"] for row in answer["recommendations"]} == expected


async def test_a_learner_without_any_event_gets_the_bundles_ranking(world: Any) -> None:
    await on_model(world)
    answer = await world.recommend("nobody-knows-me", n=10)
    assert (answer["source"], len(answer["recommendations"])) == ("model", 10)
    assert answer["model_version"] == world.service.models.current.version
    assert answer["age_seconds"] == 0.0


async def test_the_models_rung_ranks_by_the_learners_engagement(world: Any) -> None:
    await on_model(world)
    await world.engage("ada", c3=2.0**60)
    model = world.service.models.current
    expected, _ = model.rank("ada", {"c3": 2.0**60}, at_ms=world.clock.now_ms, n=10, exclude={"c3"})
    assert [row["course_id"] for row in (await world.recommend("ada"))["recommendations"]] == expected
    assert expected != model.rank("ada", {}, at_ms=world.clock.now_ms, n=10)[0]


async def test_a_cached_list_that_filters_leave_too_short_gives_way_to_the_model(world: Any) -> None:
    await world.publish()
    await world.cache("ada", ["c1", "c2", "c3"])
    await world.poll()
    assert (await world.recommend("ada", n=3))["source"] == "cached"
    answer = await world.recommend("ada", n=4)
    assert (answer["source"], len(answer["recommendations"])) == ("model", 4)
    assert answer["model_version"] == world.service.models.current.version


async def test_a_list_of_the_published_model_is_served_though_this_process_cannot_load_that_one(world: Any) -> None:
    await world.publish()
    await world.poll()
    shutil.rmtree(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    await world.poll()
    await world.cache("ada", ["c3", "unknown-to-this-model", "c1"])
    answer = await world.recommend("ada", n=2)
    assert [row["course_id"] for row in answer["recommendations"]] == ["c3", "c1"]
    assert answer["source"] == "cached"
    assert answer["model_version"] == world.service.models.published.version != world.service.models.current.version


async def test_a_cached_list_is_served_without_any_catalogue_but_not_filtered_by_guess(world: Any) -> None:
    await world.cache("ada", ["c3", "c1"])
    answer = await world.recommend("ada", n=2)
    assert [(row["course_id"], row["title"]) for row in answer["recommendations"]] == [("c3", ""), ("c1", "")]
    assert (await world.get("/v1/users/ada/recommendations", level="Beginner")).status_code == 503


async def test_with_no_rung_left_it_is_a_503_that_says_when_to_come_back(world: Any) -> None:
    response = await world.get("/v1/users/ada/recommendations")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {
        "error": "unavailable",
        "detail": "there is no cached list, no model and no trending to answer from",
    }


async def test_a_list_remembered_too_long_is_not_served_but_what_is_done_stays_done(world: Any) -> None:
    await world.finish("ada", "c1")
    await on_process_cache(world)
    assert (await world.recommend("ada"))["source"] == "process-cache"
    world.clock.now_ms += int(world.settings.serving_cache_seconds * 1000) + 1
    answer = await world.recommend("ada", n=50)
    assert answer["source"] == "model"
    assert "c1" not in [row["course_id"] for row in answer["recommendations"]]


async def test_while_redis_is_away_requests_stop_asking_it(world: Any) -> None:
    await on_process_cache(world)
    for _ in range(20):
        await world.recommend("ada")
    assert world.outage.in_vain <= 4


async def test_a_model_that_raises_is_passed_by_and_counted(world: Any) -> None:
    await on_model(world)
    await world.trend(*ALL)
    await world.poll()

    def broken(*_: Any, **__: Any) -> None:
        raise FloatingPointError

    world.service.models.current.rank = broken
    assert (await world.recommend("ada"))["source"] == "trending"
    assert world.service.metrics.registry.get_sample_value("recsys_rung_failures_total", {"rung": "model"}) == 1


async def test_the_age_is_that_of_the_list(world: Any) -> None:
    await on_cached(world)
    world.clock.now_ms += 61_500
    answer = await world.recommend("ada")
    assert answer["age_seconds"] == 61.5
    assert answer["computed_at"] == "2026-09-21T14:13:20Z"


async def test_trending_comes_from_redis_then_from_disk_then_from_the_model(world: Any) -> None:
    await on_trending(world)
    first = (await world.get("/v1/trending", n=3)).json()
    assert ([row["course_id"] for row in first["courses"]], first["source"]) == (["c0", "c1", "c2"], "trending")
    world.outage.down = True
    world.restarted().trending.load()
    second = (await world.get("/v1/trending", n=3)).json()
    assert (second["courses"], second["source"]) == (first["courses"], "snapshot")


@pytest.mark.parametrize("scores", [(1.0, 0.5, 0.25), (4e-56, 2e-56, 1e-56)])
async def test_trending_scores_are_relative_to_the_first_course_also_those_that_an_older_worker_wrote(
    world: Any, scores: tuple[float, ...]
) -> None:
    await world.store.write_trending(Trending(world.clock.now_ms, ("retired-meanwhile", "c0", "c1"), scores))
    await on_model(world)
    shown = (await world.get("/v1/trending", n=3)).json()["courses"]
    assert [(row["course_id"], row["score"]) for row in shown] == [("c0", 1.0), ("c1", 0.5)]


async def test_trending_scores_that_decayed_to_nothing_stay_nothing(world: Any) -> None:
    await world.store.write_trending(Trending(world.clock.now_ms, ("c0", "c1"), (0.0, 0.0)))
    await on_model(world)
    assert [row["score"] for row in (await world.get("/v1/trending", n=3)).json()["courses"]] == [0.0, 0.0]


async def test_trending_before_any_event_is_the_models_ranking_for_an_unknown_learner(world: Any) -> None:
    await on_model(world)
    answer = (await world.get("/v1/trending", n=3)).json()
    assert (answer["source"], len(answer["courses"])) == ("model", 3)


async def test_trending_without_anything_is_a_503(world: Any) -> None:
    response = await world.get("/v1/trending")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
