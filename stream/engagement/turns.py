"""Whose turn it is: the order in which a worker refreshes the shards it owns. Pure; never looks at a store."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from recsys.keys import Shard


class Turns:
    """Fair turns for shards.

    Two queues take turns, each with a shard at most once: shards in which somebody acts just now, and shards that have
    more to do than fitted into a turn. Neither is ever begun anew, so with n shards each that has something to do is
    served within 2n turns, however often learners act in others; and a live click waits for two turns and not for a
    whole round while every shard has a backlog. What nobody told of (marks of a new model, of an earlier owner) is
    found by a sweep over all shards.

    Args:
        sweep_s: Seconds between two sweeps.
    """

    def __init__(self, *, sweep_s: float) -> None:
        self._live: deque[Shard] = deque()
        self._rounds: deque[Shard] = deque()
        self._due: dict[Shard, float] = {}
        self._sweep_s, self._sweep_at = sweep_s, 0.0
        self._live_next = True

    def live(self, shard: Shard) -> None:
        """Somebody acts in this shard now: it is served as soon as it can be, postponed or not."""
        self._due.pop(shard, None)
        _join(self._live, shard)

    def postpone(self, shard: Shard, until: float) -> None:
        """The shard has no turn before `until`; one that is queued or postponed already stays as it is."""
        if shard not in self._live and shard not in self._rounds:
            self._due.setdefault(shard, until)

    def again(self, shard: Shard) -> None:
        """The turn that just ended did not reach all of the shard."""
        _join(self._rounds, shard)

    def next(self, owned: Collection[Shard], now: float) -> Shard | None:
        """The shard whose turn it is; None if there is nothing to do until `idle_until`.

        Args:
            owned: The shards this worker owns; what was noted of others is forgotten.
            now: Seconds, on the clock of `postpone`.
        """
        self._forget_all_but(owned)
        for shard in [shard for shard, due in self._due.items() if due <= now]:
            del self._due[shard]
            _join(self._rounds, shard)
        if now >= self._sweep_at:
            self._sweep_at = now + self._sweep_s
            for shard in sorted(owned):
                if shard not in self._due:
                    _join(self._rounds, shard)
        both = (self._live, self._rounds) if self._live_next else (self._rounds, self._live)
        for queue in both:
            if queue:
                self._live_next = queue is self._rounds
                return queue.popleft()
        return None

    def idle_until(self) -> float:
        """When there may be a turn without anybody acting."""
        return min([self._sweep_at, *self._due.values()])

    def _forget_all_but(self, owned: Collection[Shard]) -> None:
        self._live = deque(shard for shard in self._live if shard in owned)
        self._rounds = deque(shard for shard in self._rounds if shard in owned)
        self._due = {shard: due for shard, due in self._due.items() if shard in owned}


def _join(queue: deque[Shard], shard: Shard) -> None:
    if shard not in queue:
        queue.append(shard)
