"""This process keeps the lists it last read from Redis for a short time, for when Redis does not answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from recsys.online_store import CachedTop

USERS = 4096


class Remembered(NamedTuple):
    """What this process knows of a learner.

    Attributes:
        top: The cached list; None when there was none or it was read too long ago.
        done: Course → until when it is not to be recommended, ms since 1970 UTC, as last seen.
    """

    top: CachedTop | None
    done: Mapping[str, int]


class RecentLists:
    """The least recently read learners fall out.

    Args:
        ttl_ms: How long a list may be served after it was read, ms.
        done_ms: How long what a learner is done with is kept, ms, if that is longer. Whoever was not read since is
            forgotten then, so that nothing of an erased learner stays in memory.
        users: Most learners kept.
    """

    def __init__(self, *, ttl_ms: int, done_ms: int, users: int = USERS) -> None:
        self._ttl_ms, self._done_ms = ttl_ms, max(ttl_ms, done_ms)
        self._users = users
        self._entries: OrderedDict[str, tuple[int, Remembered]] = OrderedDict()

    def remember(self, user_id: str, top: CachedTop | None, done: Mapping[str, int], *, now_ms: int) -> None:
        """Keeps what was just read, and forgets what was read too long ago."""
        while self._entries and now_ms - next(iter(self._entries.values()))[0] > self._done_ms:
            self._entries.popitem(last=False)
        if top is None and not done:
            self._entries.pop(user_id, None)
            return
        self._entries[user_id] = (now_ms, Remembered(top, done))
        self._entries.move_to_end(user_id)
        if len(self._entries) > self._users:
            self._entries.popitem(last=False)

    def recall(self, user_id: str, *, now_ms: int) -> Remembered:
        """What is still known of the learner."""
        entry = self._entries.get(user_id)
        if entry is None or now_ms - entry[0] > self._done_ms:
            return Remembered(None, {})
        read_at, remembered = entry
        return remembered if now_ms - read_at <= self._ttl_ms else remembered._replace(top=None)
