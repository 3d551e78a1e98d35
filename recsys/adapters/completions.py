"""Completed blocks of a learner in a course run, counted into the four quarters that an event is worth.

Open edX says each completed block. A course of 300 blocks would be 300 events; here it is at most four `progress`
events, or, where nobody said how many blocks a course has, one sign of activity a day.
"""

from __future__ import annotations

from collections.abc import Mapping

from recsys.adapters.ids import quarter


class Completions:
    """What was completed so far. Give it the whole history in one run: what it never saw it cannot count.

    Args:
        blocks: Course run or course → blocks that can be completed in it.
    """

    def __init__(self, blocks: Mapping[str, int]) -> None:
        self._blocks = blocks
        self._places: dict[tuple[str, str], dict[int, int]] = {}
        self._days: dict[tuple[str, str], int] = {}

    def blocks_of(self, run_id: str, course_id: str) -> int | None:
        """Blocks in a run: its own number, else that of its course, else None."""
        return self._blocks.get(run_id) or self._blocks.get(course_id)

    def reached(self, user_id: str, run_id: str, block: str, *, blocks: int) -> float | None:
        """The share of a run that is completed, if this block is the one that reaches another quarter; else None.

        The same block again gives the same answer, so that a log that is read twice says the same twice.

        Args:
            user_id: The learner.
            run_id: The run.
            block: The completed block.
            blocks: In the run, at least 1.
        """
        places = self._places.setdefault((user_id, run_id), {})
        place = places.setdefault(hash(block), len(places) + 1)  # 8 bytes for a key of a hundred
        share = min(1.0, place / blocks)
        return share if quarter(share) > quarter((place - 1) / blocks) else None

    def is_first_of_day(self, user_id: str, run_id: str, utc_day: int) -> bool:
        """Whether this is another day than the last one asked for; then it is the last one."""
        if self._days.get((user_id, run_id)) == utc_day:
            return False
        self._days[user_id, run_id] = utc_day
        return True
