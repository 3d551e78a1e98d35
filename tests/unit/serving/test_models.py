"""The model in use follows the pointer, and nothing that does not verify takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
