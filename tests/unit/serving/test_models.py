"""The model in use follows the pointer, and nothing that does not verify takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys.online_store import Line
from tests.unit.serving.conftest import RETIRED, ids_of

NOW_MS = 1_790_000_000_000


def version(world: Any) -> str | None:
    current = world.service.models.current
    return None if current is None else current.version


def loads(world: Any, outcome: str) -> float:
    return world.service.metrics.registry.get_sample_value("recsys_model_loads_total", {"outcome": outcome}) or 0.0


def flip_a_bit(folder: Path) -> None:
    file = folder / "course_bias.npy"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)


async def test_a_published_model_takes_over(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    second = await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    assert version(world) == first.name
    await world.poll()
    assert version(world) == second.name
    assert (await world.recommend("ada"))["model_version"] == second.name


async def test_the_pointer_may_go_back(world: Any) -> None:
    first = await world.publish()
    await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    await world.poll()
    await world.point_at(first)
    await world.poll()
    assert version(world) == first.name


async def test_a_bundle_that_does_not_verify_leaves_the_old_one(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    flip_a_bit(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    await world.poll()
    assert version(world) == first.name
    assert loads(world, "failed") == 1
    assert (await world.recommend("ada"))["model_version"] == first.name
    assert world.service.metrics.registry.get_sample_value("recsys_older_lists_total") == 0  # it is no list


async def test_readiness_names_a_published_model_that_is_not_in_use(world: Any) -> None:
    await world.publish()
    await world.poll()
    assert "model" not in world.service.readiness().degraded
    flip_a_bit(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    await world.poll()
    assert "model" in world.service.readiness().degraded


async def test_a_start_with_a_published_bundle_that_does_not_verify_takes_the_publication_before(world: Any) -> None:
    first = await world.publish()
    flip_a_bit(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    world.draw(seed=3, created_at_ms=NOW_MS + 1500)
    await world.poll()
    assert version(world) == first.name
    third = await world.publish(seed=2, created_at_ms=NOW_MS + 2000)
    await world.poll()
    assert version(world) == third.name


async def test_without_redis_a_bundle_written_by_retrain_no_publish_is_not_served(world: Any) -> None:
    first = await world.publish()
    world.draw(seed=1, created_at_ms=NOW_MS + 1000)
    world.outage.down = True
    await world.poll()
    assert version(world) == first.name


async def test_without_redis_and_without_a_publication_no_folder_is_served(world: Any) -> None:
    world.draw(seed=1, created_at_ms=NOW_MS + 1000)
    world.outage.down = True
    await world.poll()
    assert version(world) is None


async def test_without_redis_a_rollback_is_remembered(world: Any) -> None:
    first = await world.publish()
    await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    await world.point_at(first)
    world.outage.down = True
    await world.poll()
    assert version(world) == first.name


async def test_when_redis_is_back_the_pointer_counts(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    second = await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    (world.settings.models_dir / "published.json").unlink()  # published from another machine: only Redis knows
    world.outage.down = True
    world.restarted()
    await world.poll()
    assert version(world) == first.name
    world.outage.down = False
    await world.poll()
    assert version(world) == second.name


async def test_a_list_of_another_model_than_the_published_one_is_passed_by(world: Any) -> None:
    """Whoever wrote it: a worker that lags behind a publish or a rollback, or one of the release before."""
    first = await world.publish()
    await world.poll()
    await world.cache("ada", ["c1", "c2"], version="another")
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"]) == ("model", first.name)
    assert world.service.metrics.registry.get_sample_value("recsys_outdated_lists_total") == 1
    await world.cache("ada", ["c1", "c2"], version=first.name)
    assert (await world.recommend("ada", n=2))["source"] == "cached"


async def test_the_list_this_process_remembers_is_of_the_published_model_or_passed_by(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    await world.cache("ada", ["c1", "c2"], version=first.name)
    assert (await world.recommend("ada", n=2))["source"] == "cached"
    second = await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    await world.poll()
    world.outage.down = True
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"]) == ("model", second.name)


async def older_list(world: Any, *courses: str) -> tuple[Path, Path]:
    """A list of a retrain, and an increment published since that serves it on; returns their bundles."""
    retrain = await world.publish()
    await world.poll()
    await world.cache("ada", courses, version=retrain.name)
    increment = world.draw(seed=1, created_at_ms=NOW_MS + 1000)
    await world.point_at(increment, Line((retrain.name,), 1, 2))
    await world.poll()
    return retrain, increment


async def test_after_an_increment_a_list_of_the_model_it_follows_is_served_and_says_who_ranked_it(world: Any) -> None:
    retrain, increment = await older_list(world, "c1", "c2")
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"], ids_of(answer)) == ("cached", retrain.name, ["c1", "c2"])
    assert world.service.models.current.version == increment.name
    counters = world.service.metrics.registry.get_sample_value
    assert [counters(f"recsys_{name}_lists_total") for name in ("older", "outdated")] == [1, 0]


async def test_a_retired_course_is_left_out_of_a_list_that_an_increment_serves_on(world: Any) -> None:
    retrain, _ = await older_list(world, RETIRED, "c1", "c2")
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"], ids_of(answer)) == ("cached", retrain.name, ["c1", "c2"])


async def test_who_acted_since_is_not_served_an_older_list_though_no_worker_has_loaded_the_increment(
    world: Any,
) -> None:
    """Workers rank with what is published alone: until one has loaded it, the list of before stays, marked."""
    _, increment = await older_list(world, "c1", "c2")
    await world.engage("ada", c1=5.0)
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"]) == ("model", increment.name)
    assert "c1" not in ids_of(answer)
    assert world.service.metrics.registry.get_sample_value("recsys_older_lists_total") == 0


async def test_a_list_further_behind_than_the_line_is_passed_by(world: Any) -> None:
    _, increment = await older_list(world, "c1", "c2")
    later = world.draw(seed=2, created_at_ms=NOW_MS + 2000)
    await world.point_at(later, Line((increment.name,), 2, 1))
    await world.poll()
    answer = await world.recommend("ada", n=2)
    assert (answer["source"], answer["model_version"]) == ("model", later.name)


async def test_when_an_increment_is_taken_back_its_lists_are_served_no_more_but_those_before_it_are(world: Any) -> None:
    retrain, increment = await older_list(world, "c1", "c2")
    await world.cache("bob", ["c1", "c2"], version=increment.name)
    assert (await world.recommend("bob", n=2))["model_version"] == increment.name
    await world.point_at(retrain)
    await world.poll()
    assert (await world.recommend("ada", n=2))["source"] == "cached"
    answer = await world.recommend("bob", n=2)
    assert (answer["source"], answer["model_version"]) == ("model", retrain.name)
    world.outage.down = True  # nor from what this process remembers
    assert (await world.recommend("bob", n=2))["model_version"] == retrain.name


async def test_one_answer_is_made_by_one_version_though_the_model_changes_meanwhile(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    learners = world.service.ladder._learners
    engagement = learners.engagement

    async def swap_meanwhile(*args: Any) -> Any:
        await world.poll()
        return await engagement(*args)

    learners.engagement = swap_meanwhile
    old = world.service.models.current
    answer = await world.recommend("ada")
    assert version(world) != first.name
    expected, _ = old.rank("ada", {}, at_ms=NOW_MS, n=10)
    assert (answer["model_version"], [row["course_id"] for row in answer["recommendations"]]) == (first.name, expected)
