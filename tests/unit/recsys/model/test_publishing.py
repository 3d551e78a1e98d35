"""Publishing moves the pointer once, from where it was, and leaves every start without Redis a note of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import BundleError, PointerMoved, ServiceUnavailable
from recsys.keys import Shard, Topology
from recsys.model.bundle import Draft, write_bundle
from recsys.model.publications import Publications, read_publications
from recsys.model.publishing import drop_outdated_lists, publish_bundle, settle_seconds
from recsys.online_store import CachedTop, ModelPointer
from recsys.online_store.memory import MemoryStore

NOW_MS = 1_790_000_000_000


class LosesTheReply(MemoryStore):
    """Moves the pointer, and the answer never arrives."""

    async def publish_model(self, *arguments: Any, **options: Any) -> bool:
        await super().publish_model(*arguments, **options)
        raise ServiceUnavailable("no answer from Redis")


class Refuses(MemoryStore):
    async def publish_model(self, *arguments: Any, **options: Any) -> bool:
        raise ServiceUnavailable("no answer from Redis")


def write(models_dir: Path, draft: Draft, number: int, *, parent: str | None = None) -> Path:
    return write_bundle(models_dir, replace(draft, created_at_ms=draft.created_at_ms + number * 1000, parent=parent))


async def publish(store: MemoryStore, path: Path, *, at_ms: int = NOW_MS, **options: Any) -> ModelPointer:
    before = options.pop("replacing", await store.model())
    _, pointer = await publish_bundle(store, path, replacing=before, at_ms=at_ms, keep=10, **options)
    return pointer


async def test_a_publish_moves_the_pointer_and_notes_it_beside_the_bundles(draft: Draft, tmp_path: Path) -> None:
    store = MemoryStore()
    first = await publish(store, write(tmp_path, draft, 1))
    second = await publish(store, write(tmp_path, draft, 2))
    assert (await store.model(), await store.previous_model()) == (second, first)
    assert read_publications(tmp_path).published == (second, first)


async def test_no_two_publications_have_the_same_time(draft: Draft, tmp_path: Path) -> None:
    """Not even where the second publisher's clock is behind, so that who comes later is told from who came before."""
    store, path = MemoryStore(), write(tmp_path, draft, 1)
    first = await publish(store, path)
    again = await publish(store, path, at_ms=NOW_MS - 5000)
    assert again == replace(first, published_at_ms=NOW_MS + 1)


async def test_a_model_that_was_to_replace_another_than_the_published_one_is_not_published(
    draft: Draft, tmp_path: Path
) -> None:
    store = MemoryStore()
    before = await publish(store, write(tmp_path, draft, 1))
    meanwhile = await publish(store, write(tmp_path, draft, 2))
    late = write(tmp_path, draft, 3)
    with pytest.raises(PointerMoved, match=f"was to replace {before.version}, but {meanwhile.version} was published"):
        await publish(store, late, replacing=before)
    assert await store.model() == meanwhile
    assert read_publications(tmp_path).current == meanwhile


async def test_a_bundle_that_does_not_verify_is_not_published(draft: Draft, tmp_path: Path) -> None:
    store, path = MemoryStore(), write(tmp_path, draft, 1)
    (path / "courses.json").write_bytes(b"[]")
    with pytest.raises(BundleError, match="SHA-256"):
        await publish(store, path)
    assert await store.model() is None
    assert read_publications(tmp_path) == Publications()


async def test_a_publish_whose_reply_was_lost_is_a_publish(draft: Draft, tmp_path: Path) -> None:
    store, path = LosesTheReply(), write(tmp_path, draft, 1)
    pointer = await publish(store, path)
    assert await store.model() == pointer == read_publications(tmp_path).current
    with pytest.raises(ServiceUnavailable):
        await publish(Refuses(), path)


async def test_a_note_that_cannot_be_read_is_written_anew(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "published.json").write_text("not json")
    pointer = await publish(MemoryStore(), write(tmp_path, draft, 1))
    assert read_publications(tmp_path).published == (pointer,)


async def test_from_the_publish_on_no_shard_takes_a_list_of_the_model_before(draft: Draft, tmp_path: Path) -> None:
    store = MemoryStore()
    await store.establish_topology(Topology(2))
    first = await publish(store, write(tmp_path, draft, 1))
    top = CachedTop("u", first.version, 5, ["c1"], [1.0])
    assert await store.write_tops(Shard(1), [(top, None)]) == 1
    second = await publish(store, write(tmp_path, draft, 2))
    assert await store.write_tops(Shard(1), [(top, None)]) == 0
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    assert await drop_outdated_lists(store, settle_s=settle_seconds(1.0), sleep=sleep) == 1
    assert waited == [3.0]
    assert (await store.listed(Shard(1), "g", "u")).top is None
    assert await store.dirty_users(Shard(1), 9) == [("u", 0)]
    assert await store.model() == second


async def test_one_publisher_at_a_time_works_in_a_folder(draft: Draft, tmp_path: Path) -> None:
    path = write(tmp_path, draft, 1)
    other = os.open(tmp_path / ".publishing.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    store = MemoryStore()
    with pytest.raises(ServiceUnavailable, match="another publisher has held"):
        await publish(store, path, lock_s=0.05)
    waiting = asyncio.create_task(publish(store, path))
    await asyncio.sleep(0)
    assert await store.model() is None
    os.close(other)
    assert await waiting == await store.model()


async def test_a_models_folder_that_cannot_be_written_is_named_before_the_pointer_moves(
    draft: Draft, tmp_path: Path
) -> None:
    path = write(tmp_path, draft, 1)
    (tmp_path / ".publishing.lock").mkdir()
    store = MemoryStore()
    with pytest.raises(BundleError, match=r"cannot lock .*\.publishing\.lock"):
        await publish(store, path)
    assert await store.model() is None
