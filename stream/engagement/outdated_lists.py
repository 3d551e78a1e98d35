"""The lists of a model that is no longer published: this worker takes them out of the shards it owns.

A publish or a rollback changes what every cached list must be of. The worker brings the copies of the pointer in its
shards up to date, from which instant no other model's list can be written there, and then goes through its learners
once: a list of another model is deleted and its learner marked for refresh. The same happens once for every shard it is
given, because the worker before may have been of a release that wrote lists unchecked.

An increment keeps the lists of the versions that it follows (`recsys.online_store.pointer`). Of those, one in so many
is due with each increment: its learner is marked, at a bounded rate, and the list stays until it is replaced.

Nothing is ranked here; the refresh finds the marks at its next sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import NoReturn

import structlog

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Shard
from recsys.online_store import Lists, ModelPointer
from stream.engagement import metrics

log = structlog.get_logger(__name__)


class OutdatedLists:
    """Keeps the shards of one worker free of other models' lists.

    Args:
        store: The online store.
        shards: The shards this worker owns right now.
        poll_s: Seconds between two checks of what is published.
        renewals_per_s: Learners of the kept lists that are marked in a second.
    """

    def __init__(
        self, store: Lists, *, shards: Callable[[], Iterable[Shard]], poll_s: float, renewals_per_s: float
    ) -> None:
        self._store, self._shards, self._poll_s = store, shards, poll_s
        self._at_once, self._allowed = renewals_per_s * poll_s, 0.0
        self._cleared: dict[Shard, ModelPointer] = {}
        self._renewing: dict[Shard, AsyncGenerator[int, None]] = {}
        self._named: set[str] = set()

    async def run(self) -> NoReturn:
        """Checks for ever; what cannot be reached or read is logged once and checked again."""
        while True:
            problems = await self.check() | await self.renew()
            for problem in problems - self._named:
                log.warning("outdated_lists_check_failed", error=problem)
            self._named = problems
            await asyncio.sleep(self._poll_s)

    async def check(self) -> set[str]:
        """Clears every owned shard that was not cleared since the latest publication.

        A shard that holds what cannot be read delays no other.

        Returns:
            What could not be reached or read.
        """
        owned = sorted(set(self._shards()))
        self._cleared = {shard: pointer for shard, pointer in self._cleared.items() if shard in owned}
        for shard in self._renewing.keys() - set(owned):
            await self._renewing.pop(shard).aclose()
        problems: set[str] = set()
        try:
            published = await self._store.sync_publication(owned)
        except (ServiceUnavailable, UnreadableState) as error:
            return {str(error)}
        for shard in owned:
            if published is not None and self._cleared.get(shard) != published:
                try:
                    await self._clear(shard, published)
                except (ServiceUnavailable, UnreadableState) as error:
                    problems.add(str(error))
        return problems

    async def _clear(self, shard: Shard, published: ModelPointer) -> None:
        dropped = await self._store.drop_outdated_lists(shard)
        self._cleared[shard] = published
        if shard in self._renewing:
            await self._renewing.pop(shard).aclose()
        if published.line is not None:
            self._renewing[shard] = self._store.mark_due_lists(shard, published.line)
        if dropped:
            metrics.OUTDATED_LISTS.inc(dropped)
            log.info("outdated_lists_dropped", shard=shard, lists=dropped, published=published.version)

    async def renew(self) -> set[str]:
        """Marks learners whose kept list is due, as many as the rate allows since the last call.

        What a walk did not come to before the next increment is due with a later one, at the latest with the last that
        keeps the list. A walk that fails begins anew with the next increment.

        Returns:
            What could not be reached or read.
        """
        self._allowed = min(self._allowed, 0.0) + self._at_once
        problems: set[str] = set()
        while self._renewing and self._allowed > 0:
            shard = next(iter(self._renewing))
            walk = self._renewing.pop(shard)
            try:
                marked = await anext(walk, None)
            except (ServiceUnavailable, UnreadableState) as error:
                problems.add(str(error))
                marked = None
            if marked is None:
                continue
            self._renewing[shard] = walk  # behind the others: a slice of each shard in turn
            metrics.RENEWALS.inc(marked)
            self._allowed -= max(marked, 1)  # a slice of learners of whom none is due costs something, too
        return problems
