"""The dead-letter stop rule: a partition whose records are mostly refused is stopped, not drained.

A broken producer can turn a whole topic into dead letters overnight. A few refused records are normal; when most of
the last thousand are, an operator has to look first. Counts only: no clock, no I/O.
"""

from __future__ import annotations

from collections import deque


class RefusalShare:
    """How many of the latest records of a partition were refused.

    Args:
        window: Latest records that count; fewer than these decide nothing.
        limit: The highest share that is normal, 0..1.
    """

    def __init__(self, window: int, limit: float) -> None:
        self._window, self._limit = window, limit
        self._chunks: deque[tuple[int, int]] = deque()
        self._records = self._refused = 0

    def exceeded_by(self, records: int, refused: int) -> bool:
        """Whether the latest records, followed by these, are refused more often than is normal."""
        seen, bad = self._records + records, self._refused + refused
        return refused > 0 and seen >= self._window and bad > self._limit * seen

    def add(self, records: int, refused: int) -> None:
        """Counts records that were passed; the oldest chunks beyond the window are forgotten."""
        self._chunks.append((records, refused))
        self._records += records
        self._refused += refused
        while self._records - self._chunks[0][0] >= self._window:
            old_records, old_refused = self._chunks.popleft()
            self._records -= old_records
            self._refused -= old_refused

    def clear(self) -> None:
        """Forgets everything: an operator resumed the partition."""
        self._chunks.clear()
        self._records = self._refused = 0
