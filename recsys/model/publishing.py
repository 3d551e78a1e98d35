"""Publishing and rolling back: the pointer moves to a verified bundle, every process follows, old bundles go.

One publisher works in a models folder at a time (a lock that the kernel releases with the process). The order: verify
the bundle · move the pointer by compare-and-set · copy it to every shard, from which instant no list of another model
can be written there · write the note for starts without Redis (`publications`) · delete bundles that nobody refers to
(`retention`). A publisher that dies on the way leaves a loadable published model at every step; workers finish the
copies.

The lists of the model before are deleted by the workers and, for shards without one, by `drop_outdated_lists`; the API
passes them by from the first second and ranks from the bundle. Only an increment keeps those that its line names.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from recsys.errors import BundleError, PointerMoved, ServiceUnavailable
from recsys.keys import Shard
from recsys.model.publications import Publications, read_publications, write_publications
from recsys.model.retention import delete_unreferenced
from recsys.model.scorer import Scorer
from recsys.online_store import Control, Line, Lists, ModelPointer

LOCK_FILE = ".publishing.lock"
LOCK_S = 60.0
LOCK_POLL_S = 0.1
log = structlog.get_logger(__name__)


class PublishStore(Lists, Control, Protocol):
    """What publishing uses of the online store."""


async def publish_bundle(
    store: PublishStore,
    path: Path,
    *,
    replacing: ModelPointer | None,
    at_ms: int,
    keep: int,
    line: Line | None = None,
    over_unreadable: bool = False,
    lock_s: float = LOCK_S,
) -> tuple[Scorer, ModelPointer]:
    """Makes a bundle the published one.

    Args:
        store: The online store.
        path: The bundle's folder in the models folder, absolute: workers and API have working folders of their own.
        replacing: What the caller takes to be published now.
        at_ms: Now, ms since 1970 UTC.
        keep: How many bundles stay in the folder, those that something refers to besides.
        line: Of an increment: the versions whose cached lists stay served. None replaces every list.
        over_unreadable: Replace a pointer that cannot be read, too.
        lock_s: How long another publisher may hold the folder before this one gives up.

    Raises:
        PointerMoved: Another model is published than `replacing`; nothing changed.
        BundleError: The bundle does not verify (the pointer stays), or the note could not be written.
        ServiceUnavailable: Redis does not answer, or another publisher holds the folder.
    """
    async with _only_publisher(path.parent, lock_s):
        scorer = await asyncio.to_thread(Scorer.load, path)
        at_ms = at_ms if replacing is None else max(at_ms, replacing.published_at_ms + 1)
        pointer = ModelPointer(scorer.version, str(path), at_ms, line)
        await _move(store, pointer, replacing=replacing, over_unreadable=over_unreadable)
        await sync_copies(store)
        noted = await asyncio.to_thread(_note, path.parent, pointer, replacing)
        await asyncio.to_thread(delete_unreferenced, path.parent, noted, keep=keep, now_ms=at_ms)
    return scorer, pointer


async def _move(
    store: Control, pointer: ModelPointer, *, replacing: ModelPointer | None, over_unreadable: bool
) -> None:
    try:
        moved = await store.publish_model(pointer, replacing=replacing, over_unreadable=over_unreadable)
    except ServiceUnavailable:
        if await store.model() != pointer:  # only the reply was lost
            raise
        return
    if not moved:
        found = await store.model()
        raise PointerMoved(
            f"model {pointer.version} was not published: it was to replace {_named(replacing)}, "
            f"but {_named(found)} was published meanwhile; run the command again to compare with that one"
        )


def _named(pointer: ModelPointer | None) -> str:
    return "none" if pointer is None else pointer.version


async def sync_copies(store: PublishStore) -> Sequence[Shard]:
    """Copies the pointer to every shard in use; returns the shards."""
    topology = await store.topology()
    shards = [] if topology is None else list(topology.shards())
    await store.sync_publication(shards)
    return shards


async def drop_outdated_lists(
    store: PublishStore, *, settle_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> int:
    """Deletes the lists of other models in every shard, once every worker has followed the pointer.

    Workers delete them in their own shards as soon as they see the pointer move. This reaches the shards that no worker
    owns, and what a worker of a release without the check wrote until it followed.

    Args:
        store: The online store.
        settle_s: How long a worker may take to follow.
        sleep: Waits.

    Returns:
        How many lists were deleted.
    """
    await sleep(settle_s)
    return sum([await store.drop_outdated_lists(shard) for shard in await sync_copies(store)])


def settle_seconds(model_poll_seconds: float) -> float:
    """How long after a publish every worker has followed: two polls, and a second to load the bundle."""
    return 2 * model_poll_seconds + 1.0


def noted_publications(models_dir: Path) -> Publications:
    """The note of a folder; one that cannot be read counts as empty, because the next publish writes it anew."""
    try:
        return read_publications(models_dir)
    except BundleError as error:
        log.warning("publications_unreadable", error=str(error))
        return Publications()


def _note(models_dir: Path, pointer: ModelPointer, replaced: ModelPointer | None) -> Publications:
    noted = noted_publications(models_dir).after(pointer, replaced)
    write_publications(models_dir, noted)
    return noted


@contextlib.asynccontextmanager
async def _only_publisher(models_dir: Path, lock_s: float) -> AsyncIterator[None]:
    """Holds the folder's lock, so that no other publisher deletes the bundle that is being published."""
    descriptor = await asyncio.to_thread(_lock_file, models_dir)
    try:
        deadline = time.monotonic() + lock_s
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"another publisher has held {models_dir / LOCK_FILE} for {lock_s:g} s")
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _lock_file(models_dir: Path) -> int:
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        return os.open(models_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BundleError(f"cannot lock {models_dir / LOCK_FILE}: {error.strerror}") from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
