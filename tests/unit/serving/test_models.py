"""The model in use follows the pointer, and nothing that does not verify takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import BundleError
from recsys.model.scorer import Scorer
from recsys.online_store import ModelPointer
from serving.metrics import Metrics
from serving.recommend.models import Models

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
    await world.store.publish_model(ModelPointer(first.name, str(first), NOW_MS))
    await world.poll()
    assert version(world) == first.name


async def test_a_model_in_use_is_not_loaded_again(world: Any) -> None:
    await world.publish()
    for _ in range(3):
        await world.poll()
    assert loads(world, "loaded") == 1


async def test_a_bundle_that_does_not_verify_leaves_the_old_one(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    flip_a_bit(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    await world.poll()
    assert version(world) == first.name
    assert loads(world, "failed") == 1
    assert (await world.recommend("ada"))["model_version"] == first.name


async def test_a_start_with_a_published_bundle_that_does_not_verify_falls_back_to_the_newest_that_does(
    world: Any,
) -> None:
    first = await world.publish()
    flip_a_bit(await world.publish(seed=1, created_at_ms=NOW_MS + 1000))
    await world.poll()
    assert version(world) == first.name
    third = await world.publish(seed=2, created_at_ms=NOW_MS + 2000)
    await world.poll()
    assert version(world) == third.name


async def test_a_bundle_under_another_version_is_refused(world: Any) -> None:
    first = await world.publish()
    await world.service.models.follow(ModelPointer("something-else", str(first), NOW_MS))
    assert version(world) is None
    assert loads(world, "failed") == 1


async def test_the_publishers_path_may_be_on_another_machine(world: Any) -> None:
    first = await world.publish()
    await world.store.publish_model(ModelPointer(first.name, f"/elsewhere/{first.name}", NOW_MS))
    await world.poll()
    assert version(world) == first.name


async def test_a_version_that_leads_out_of_the_folder_loads_nothing(world: Any, tmp_path: Path) -> None:
    first = await world.publish()
    shutil.move(first, tmp_path / first.name)
    await world.store.publish_model(ModelPointer(f"../{first.name}", "/elsewhere", NOW_MS))
    await world.poll()
    assert version(world) is None


async def test_without_redis_the_newest_bundle_that_verifies_is_used(world: Any) -> None:
    oldest = await world.publish()
    middle = await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    flip_a_bit(await world.publish(seed=2, created_at_ms=NOW_MS + 2000))
    (world.settings.models_dir / ".writing-9").mkdir()
    world.outage.down = True
    await world.poll()
    assert version(world) == middle.name != oldest.name


async def test_when_redis_is_back_the_pointer_counts(world: Any) -> None:
    first = await world.publish()
    await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    await world.store.publish_model(ModelPointer(first.name, str(first), NOW_MS))
    world.outage.down = True
    await world.poll()
    assert version(world) != first.name
    world.outage.down = False
    await world.poll()
    assert version(world) == first.name


async def test_without_redis_the_model_in_use_stays(world: Any) -> None:
    first = await world.publish()
    await world.poll()
    await world.publish(seed=1, created_at_ms=NOW_MS + 1000)
    world.outage.down = True
    await world.poll()
    assert version(world) == first.name


async def test_a_failed_bundle_is_tried_again_after_a_growing_pause(tmp_path: Path) -> None:
    now, attempts = 0.0, []

    def load(_: Path) -> Scorer:
        attempts.append(now)
        raise BundleError("expected a bundle")

    models = Models(tmp_path, load, Metrics(), clock=lambda: now)
    for second in range(40):
        now = float(second)
        await models.follow(ModelPointer("v", str(tmp_path), 0))
    assert attempts == [0, 1, 3, 7, 15, 31]
    await models.follow(ModelPointer("w", str(tmp_path), 0))
    assert attempts[-1] == now


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


@pytest.mark.parametrize("missing", ["folder", "everything"])
async def test_no_bundle_at_all_is_no_model(world: Any, missing: str) -> None:
    if missing == "folder":
        world.settings.models_dir.mkdir()
    world.outage.down = True
    await world.poll()
    assert version(world) is None
