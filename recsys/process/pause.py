"""Pauses between attempts that fail."""

from __future__ import annotations

from collections.abc import Callable


class GrowingPause:
    """Time to wait between attempts that fail, doubled each time.

    Args:
        clock: Monotonic seconds.
        first_s: The first pause, seconds.
        longest_s: What no pause is longer than, seconds.

    Attributes:
        length_s: How long the next pause is.
    """

    def __init__(self, clock: Callable[[], float], *, first_s: float, longest_s: float) -> None:
        self._clock, self._first_s, self._longest_s = clock, first_s, longest_s
        self.reset()

    def reset(self) -> None:
        """The next attempt may begin at once, and the pauses after it are short again."""
        self.length_s, self._until = self._first_s, 0.0

    def begin(self) -> None:
        """An attempt failed."""
        self._until = self._clock() + self.length_s
        self.length_s = min(2 * self.length_s, self._longest_s)

    def is_over(self) -> bool:
        """Whether another attempt may begin."""
        return self._clock() >= self._until
