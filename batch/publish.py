"""Publishing: the pointer moves to a verified bundle, then every learner's cached list is computed afresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from recsys.errors import BundleError
from recsys.exclusion import Exclusion
from recsys.model.publications import Publications, read_publications, write_publications
from recsys.model.scorer import Scorer
from recsys.online_store import CachedTop, Control, Lists, ModelPointer

_CHUNK = 500


class PublishStore(Lists, Control, Protocol):
    """What publishing uses of the online store."""


async def current_model(store: Control) -> Scorer | None:
    """The model in use; None when there is none, or its bundle cannot be loaded any more.

    Raises:
        ServiceUnavailable: When Redis does not answer.
    """
    pointer = await store.model()
    if pointer is None:
        return None
    try:
        return Scorer.load(Path(pointer.path))
    except BundleError:
        return None


async def publish(store: Control, path: Path, *, at_ms: int) -> Scorer:
    """Verifies the bundle once more and makes it the model in use.

    Args:
        store: The online store.
        path: The bundle's folder, absolute: workers and API read it from their own working folders.
        at_ms: Now, ms since 1970 UTC.

    Raises:
        BundleError: When the bundle does not verify; the pointer stays.
        ServiceUnavailable: When Redis does not answer.
    """
    scorer = Scorer.load(path)
    pointer, replaced = ModelPointer(scorer.version, str(path), at_ms), await store.model()
    await store.publish_model(pointer)
    write_publications(path.parent, _noted(path.parent).after(pointer, replaced))
    return scorer


def _noted(models_dir: Path) -> Publications:
    try:
        return read_publications(models_dir)
    except BundleError:  # what cannot be read is written anew
        return Publications()


async def fill_caches(
    store: PublishStore,
    scorer: Scorer,
    *,
    at_ms: int,
    top_n: int,
    exclusion: Exclusion = Exclusion(),  # noqa: B008 (immutable)
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Computes the cached list of every learner with engagement.

    Everybody is marked first and a list is written only while its mark stands, so a worker that refreshes a learner at
    the same time wins, and whoever this job does not reach is left marked for the workers.

    Args:
        store: The online store.
        scorer: The model just published.
        at_ms: Now, ms since 1970 UTC.
        top_n: Courses in a list.
        exclusion: What a list leaves out.
        progress: Called with learners done and learners in all.

    Returns:
        How many lists were computed.

    Raises:
        ServiceUnavailable: When Redis does not answer.
    """
    topology = await store.topology()
    shards = [] if topology is None else topology.shards()
    waiting = [await store.mark_all_dirty(shard) for shard in shards]
    done = 0
    for shard, marked in zip(shards, waiting, strict=True):
        dirty = await store.dirty_users(shard, max(1, marked))
        for start in range(0, len(dirty), _CHUNK):
            chunk = dirty[start : start + _CHUNK]
            states = await store.user_states(shard, [user for user, _ in chunk])
            tops: list[tuple[CachedTop, int | None]] = []
            for (user, mark), state in zip(chunk, states, strict=True):
                exclude = exclusion.excluded(state.done, state.engagement)
                ids, scores = scorer.rank(user, state.engagement, at_ms=at_ms, n=top_n, exclude=exclude)
                tops.append((CachedTop(user, scorer.version, at_ms, ids, scores), mark))
            await store.write_tops(shard, tops, only_if_marked=True)
            done += len(chunk)
            progress(done, max(done, sum(waiting)))
    return done
