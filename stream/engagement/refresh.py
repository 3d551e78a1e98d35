"""Refresh: dirty users to cached top-N lists.

NumPy only. A user's list is computed from the state as read after the mark; the mark is cleared only if no newer
event set it again, so a list is never left stale.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.exclusion import Exclusion
from recsys.keys import Shard, partition_of_shard
from recsys.model.follower import ModelFollower
from recsys.model.scorer import Learner, Scorer
from recsys.online_store import CachedTop, Lists
from stream.engagement import metrics
from stream.engagement.commit_times import CommitTime, CommitTimes
from stream.engagement.mark_ages import MarkAges
from stream.engagement.turns import Turns

log = structlog.get_logger(__name__)

NEWEST, OLDEST = 16, 16
"""Learners of a batch: those who acted last, so that a click is answered at once, and those who wait longest, so that
nobody waits for ever. Few, because a live click waits for the batch before it."""

BATCH_USERS = NEWEST + OLDEST

REST, REST_CHUNKS, LATE_S = 2.0, 2, 5.0
"""Where more learners wait than a turn takes, and so many chunks or more are applied meanwhile, a turn is followed by a
rest of so many times its length: lists that wait anyway wait a little longer, and events are folded sooner. Nobody
waits longer than `LATE_S` for a rest."""

LEFTOVERS_S = 1.0
SLICE_CELLS, BUSY_SLICE_CELLS = 65_536, 16_384
"""Scores computed before the event loop has its turn: 2 to 3 ms, and while chunks go on a quarter of that, which costs
more a learner. A thread that ranks keeps the interpreter's lock from the loop for longer, again and again
(docs/decisions/0032)."""

Ranked = tuple[list[str], list[float]]
"""Course ids, best first, and their scores."""


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # `asyncio.wait_for` may lose a cancellation: see `recsys.process.tasks`
            await event.wait()


class Refresher:
    """Keeps the cached lists of the shards this worker owns fresh.

    Args:
        store: The online store.
        model: The bundle to rank with; nothing is refreshed unless it is the published one.
        shards: The shards this worker owns right now.
        top_n: Courses in a cached list.
        backlog_s: While a partition catches up, its users are refreshed this much later.
        clock: Seconds, monotonic.
        now_ms: Wall clock, ms since 1970 UTC: the time rankings are for.
        exclusion: What a list leaves out.
        features: The same model with the course features of now.
        leftovers_s: Seconds between two sweeps for marks that nobody told of, and how long Redis is left alone when it
            does not answer.
        wait: How to wait for an event or until seconds passed.
    """

    def __init__(
        self,
        store: Lists,
        model: ModelFollower[Scorer],
        *,
        shards: Callable[[], Iterable[Shard]],
        top_n: int,
        backlog_s: float,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        exclusion: Exclusion = Exclusion(),  # noqa: B008 (immutable)
        features: Callable[[Scorer], Scorer] = lambda scorer: scorer,
        leftovers_s: float = LEFTOVERS_S,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for,
    ) -> None:
        self._exclusion, self._features = exclusion, features
        self._store, self._model, self._shards = store, model, shards
        self._top_n, self._backlog_s, self._leftovers_s = top_n, backlog_s, leftovers_s
        self._clock, self._now_ms, self._wait = clock, now_ms, wait
        self._turns = Turns(sweep_s=leftovers_s)
        self._ages, self._commits = MarkAges(clock), CommitTimes()
        self._shown: set[Shard] = set()
        self._unreadable: dict[Shard, str] = {}
        self._wake = asyncio.Event()
        self._applied = 0  # chunks since the turn began

    def notify(self, shard: Shard, *, fence: int, backlog: bool, arrival_ms: int | None = None) -> None:
        """Says that users of a shard changed.

        Args:
            shard: The shard.
            fence: Up to and including this offset.
            backlog: Whether more records wait.
            arrival_ms: When the first of the records behind the change arrived, ms since 1970 UTC; None measures none.
        """
        self._applied += 1
        self._ages.moved(shard, fence)
        if arrival_ms is not None:
            self._commits.committed(shard, fence, CommitTime(self._clock(), arrival_ms))
        if backlog:
            self._turns.postpone(shard, self._clock() + self._backlog_s)
        else:
            self._turns.live(shard)
            self._wake.set()

    async def run(self) -> None:
        """Refreshes for ever: at once when notified, and what nobody told of every `leftovers_s`."""
        while True:
            self._wake.clear()
            owned = set(self._shards())
            self._show_only(owned)
            if not self._model.up_to_date:
                await self._wait(self._wake, self._leftovers_s)
            elif (shard := self._turns.next(owned, self._clock())) is None:
                await self._wait(self._wake, self._turns.idle_until() - self._clock())
            else:
                await self._turn(shard)

    async def _turn(self, shard: Shard) -> None:
        try:
            began, self._applied = self._clock(), 0
            if await self.refresh(shard) == BATCH_USERS:
                self._turns.again(shard)
                rest_s = min(REST * (self._clock() - began), LATE_S - self._ages.age_s(shard))
                if self._applied >= REST_CHUNKS and rest_s > 0:
                    await self._wait(asyncio.Event(), rest_s)
            self._unreadable.pop(shard, None)
        except UnreadableState as error:
            if self._unreadable.get(shard) != str(error):
                self._unreadable[shard] = str(error)
                log.error("refresh_stopped", partition=partition_of_shard(shard), error=str(error))  # noqa: TRY400 - the error says all
            self._turns.postpone(shard, self._clock() + self._leftovers_s)
        except ServiceUnavailable as error:
            log.warning("refresh_postponed", error=str(error))
            await self._wait(asyncio.Event(), self._leftovers_s)  # then a sweep is due, which finds the shard again

    async def refresh(self, shard: Shard) -> int:
        """Ranks one batch of a shard's dirty users; returns how many, `BATCH_USERS` if there are more."""
        model = self._model.current if self._model.up_to_date else None
        if model is None:
            return 0
        waiting = await self._store.waiting(shard, newest=NEWEST, oldest=OLDEST)
        self._show(shard, waiting.count, waiting.oldest_mark)
        if not waiting.users:
            return 0
        with metrics.REFRESH_SECONDS.time():
            states = await self._store.user_states(shard, [user for user, _ in waiting.users])
            now_ms, scorer = self._now_ms(), self._features(model)
            learners = [
                Learner(user, state.engagement, self._exclusion.excluded(state.done, state.engagement, at_ms=now_ms))
                for (user, _), state in zip(waiting.users, states, strict=True)
            ]
            lists = await self._ranked(scorer, learners, now_ms)
            ranked_at = self._clock()
            # A mark is the fence of a commit, and the states were read after the marks: they contain all up to there.
            # A publication marks with 0, which says nothing.
            included = max(mark for _, mark in waiting.users) or None
            tops = [
                (CachedTop(user, scorer.version, now_ms, ids, scores, included), mark)
                for (user, mark), (ids, scores) in zip(waiting.users, lists, strict=True)
            ]
            written = await self._store.write_tops(shard, tops)
            self._measure(shard, [mark for _, mark in waiting.users], ranked_at)
        metrics.REFRESHED.inc(written)
        if not written:
            return 0  # another model was published just now: once it is loaded, they are ranked again
        if waiting.count <= len(tops):
            self._show(shard, 0, None)
        return len(tops)

    async def _ranked(self, scorer: Scorer, learners: Sequence[Learner], now_ms: int) -> list[Ranked]:
        """Ranks slice by slice, with a turn of the event loop after each."""
        start, lists = 0, list[Ranked]()
        while start < len(learners):
            cells = BUSY_SLICE_CELLS if self._applied >= REST_CHUNKS else SLICE_CELLS
            end = start + max(1, cells // max(1, len(scorer.course_ids)))
            lists += scorer.rank_many(learners[start:end], at_ms=now_ms, n=self._top_n)
            start = end
            await asyncio.sleep(0)
        return lists

    def _measure(self, shard: Shard, marks: Iterable[int], ranked_at: float) -> None:
        """Observes the stages of the lists that were just written."""
        written_s, now_ms = self._clock() - ranked_at, self._now_ms()
        for commit in filter(None, (self._commits.of_mark(shard, mark) for mark in marks)):
            metrics.FRESHNESS_SECONDS.labels("refreshed").observe(ranked_at - commit.committed_at)
            metrics.FRESHNESS_SECONDS.labels("readable").observe(written_s)
            metrics.EVENT_TO_LIST_SECONDS.observe((now_ms - commit.arrival_ms) / 1000)

    def _show(self, shard: Shard, count: int, oldest_mark: int | None) -> None:
        partition = str(partition_of_shard(shard))
        self._ages.saw(shard, oldest_mark)
        metrics.DIRTY_USERS.labels(partition).set(count)
        if shard not in self._shown:
            # Read when Prometheus asks: it rises while nothing is refreshed, whatever the reason.
            metrics.OLDEST_MARK.labels(partition).set_function(partial(self._ages.age_s, shard))
            self._shown.add(shard)

    def _show_only(self, owned: set[Shard]) -> None:
        self._ages.forget_all_but(owned)
        self._commits.forget_all_but(owned)
        for shard in self._shown - owned:
            for gauge in (metrics.DIRTY_USERS, metrics.OLDEST_MARK):
                gauge.remove(str(partition_of_shard(shard)))
        self._shown &= owned
