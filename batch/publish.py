"""Publishing from the batch layer: what the candidate is compared with, and the first lists of the new model.

Publishing itself (`recsys.model.publishing`) is shared with `recsys models rollback`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import BundleError
from recsys.exclusion import Exclusion
from recsys.model.publishing import PublishStore
from recsys.model.scorer import Learner, Scorer
from recsys.online_store import CachedTop, Control, ModelPointer

FILL_LEARNERS = 10_000
"""Most lists a publish computes itself (decision 10): enough for a small installation without workers to be warm."""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Published:
    """What is published as a retrain begins.

    Attributes:
        pointer: Where the model pointer stands; None when nothing is published. The candidate replaces no other.
        scorer: The model itself; None when its bundle cannot be loaded any more.
    """

    pointer: ModelPointer | None
    scorer: Scorer | None


async def published_model(store: Control, models_dir: Path) -> Published:
    """The published model, looked for at the publisher's path and then in the models folder.

    Raises:
        ServiceUnavailable: When Redis does not answer.
        UnreadableState: When the pointer cannot be read.
    """
    pointer = await store.model()
    if pointer is None:
        return Published(None, None)
    for folder in (Path(pointer.path), models_dir / Path(pointer.version).name):
        try:
            return Published(pointer, Scorer.load(folder))
        except BundleError:
            continue
    return Published(pointer, None)


async def fill_caches(
    store: PublishStore,
    scorer: Scorer,
    *,
    at_ms: int,
    top_n: int,
    exclusion: Exclusion = Exclusion(),  # noqa: B008 (immutable)
    limit: int = FILL_LEARNERS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Computes the lists of learners who wait for one, most recently active first, up to `limit`.

    A list is written only while its mark stands, so a worker that refreshes a learner at the same time wins. Whoever
    this does not reach stays marked for the workers; the API ranks from the bundle meanwhile.

    Args:
        store: The online store.
        scorer: The model just published.
        at_ms: Now, ms since 1970 UTC.
        top_n: Courses in a list.
        exclusion: What a list leaves out.
        limit: Most learners.
        progress: Called with learners done and learners in all.

    Returns:
        How many lists were written.

    Raises:
        ServiceUnavailable: When Redis does not answer.
    """
    topology = await store.topology()
    shards = [] if topology is None else topology.shards()
    share = -(-limit // max(1, len(shards)))
    waiting = [(shard, await store.dirty_users(shard, share, newest=True)) for shard in shards]
    total, done, written = sum(len(marks) for _, marks in waiting), 0, 0
    for shard, marks in waiting:
        for start in range(0, len(marks), _CHUNK):
            chunk = marks[start : start + _CHUNK]
            states = await store.user_states(shard, [user for user, _ in chunk])
            learners = [
                Learner(user, state.engagement, exclusion.excluded(state.done, state.engagement, at_ms=at_ms))
                for (user, _), state in zip(chunk, states, strict=True)
            ]
            lists = _ranked(scorer, learners, at_ms=at_ms, n=top_n)
            tops = [(top, mark) for top, (_, mark) in zip(lists, chunk, strict=True)]
            written += await store.write_tops(shard, tops, only_if_marked=True)
            done += len(chunk)
            progress(done, total)
    return written


def _ranked(scorer: Scorer, learners: Sequence[Learner], *, at_ms: int, n: int) -> list[CachedTop]:
    ranked = scorer.rank_many(learners, at_ms=at_ms, n=n)
    return [
        CachedTop(learner.user_id, scorer.version, at_ms, ids, scores)
        for learner, (ids, scores) in zip(learners, ranked, strict=True)
    ]
