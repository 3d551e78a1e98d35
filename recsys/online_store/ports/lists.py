"""The port of what is shown to learners, and of what that is computed from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from recsys.keys import Shard
from recsys.online_store.pointer import Line, ModelPointer
from recsys.online_store.values import (
    AllActivity,
    CachedTop,
    Listed,
    ShardTrend,
    Trending,
    UserState,
    Waiting,
)


class Lists(Protocol):
    """What is shown to learners, and what it is computed from."""

    async def listed(self, shard: Shard, group: str, user_id: str) -> Listed:
        """The learner's cached top-N, what they are done with, and what is known of how fresh the list is.

        One round trip. What cannot be read of the freshness alone (fence, mark, merge) is as if it was not known.

        Args:
            shard: The learner's shard.
            group: Consumer group; names the fence.
            user_id: Whose.
        """
        ...

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        """Engagement and done courses of each user, aligned with `user_ids`."""
        ...

    async def dirty_users(self, shard: Shard, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        """Up to `limit` users whose cached top-N is out of date, with their marks: longest waiting or newest first."""
        ...

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        """Users whose cached top-N is out of date, in one round trip: the `newest` marks and the `oldest`, each ≥ 1."""
        ...

    async def write_tops(
        self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> int:
        """Writes cached lists; clears each user's dirty mark if it still is the one given.

        A list of another model than the published one, as the shard's copy of the pointer has it, is refused in the
        same atomic step and its user's mark stays. Before a copy was written (`sync_publication`) any model's is taken.

        Args:
            shard: The shard.
            tops: Lists, each with the mark it was computed for (None: no mark). A list with a mark is written only
                where one is left, this or a later one: else a worker that lost the shard meanwhile, or stood still,
                would replace a fresher list for good.
            only_if_marked: Write a list only where its own mark still stands: for a slow batch job.

        Returns:
            How many lists were written.
        """
        ...

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        """Brings the shards' copies of the model pointer up to date.

        Returns:
            What is published, and what every one of the copies says; None where nothing is published, or the pointer
            moved again and again meanwhile.

        Raises:
            UnreadableState: The pointer is none that this release can read; the copies stay.
        """
        ...

    async def drop_outdated_lists(self, shard: Shard) -> int:
        """Deletes every list that the shard's copy of the pointer does not serve, and marks its learner.

        Goes through the learners in slices, each one atomic step. Returns how many lists it deleted.
        """
        ...

    def mark_due_lists(self, shard: Shard, line: Line) -> AsyncGenerator[int, None]:
        """Marks the learners whose older list is due after an increment (`Line.is_due`); the lists stay.

        Nothing is marked where the shard's copy of the pointer is of no increment any more.

        Args:
            shard: The shard.
            line: Of the increment that is published.

        Yields:
            How many learners were newly marked, slice by slice, each one atomic step.
        """
        ...

    async def trend(self, shard: Shard, limit: int, *, known: Callable[[str], bool] | None = None) -> ShardTrend:
        """The highest stored trending sums of the shard, read in pages.

        Args:
            shard: The shard.
            limit: Courses returned at most.
            known: Whether a catalogue knows a course; others are left out. None knows all.
        """
        ...

    async def write_trending(self, trending: Trending) -> None:
        """Replaces the merged trending list."""
        ...

    async def trending(self) -> Trending | None:
        """The merged trending list, None before it was first written."""
        ...

    async def activity(self, shard: Shard) -> Mapping[str, bytes]:
        """Course → packed activity in a shard (`recsys.course_sums.activity`), read in pages."""
        ...

    async def write_all_activity(self, merged: AllActivity) -> None:
        """Replaces the merged activity of courses."""
        ...

    async def all_activity(self) -> AllActivity | None:
        """The merged activity of courses; None before it was first written.

        Raises:
            UnreadableState: The value is none, or of another release's form.
        """
        ...
