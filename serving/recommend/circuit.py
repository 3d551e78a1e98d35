"""A circuit breaker stands in front of Redis, so that requests do not each wait for the time-out while it is down."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from recsys.errors import ServiceUnavailable

_Result = TypeVar("_Result")

FAILURES_TO_OPEN = 3
PAUSE_S = 0.5


class Circuit:
    """Lets calls through until several in a row found no service; then one call a pause, until one succeeds.

    Args:
        failures: Failures in a row that open the circuit.
        pause_s: Seconds between two attempts while it is open.
        clock: Monotonic seconds.
        on_failure: Called at each failure.

    Attributes:
        refused: Why no call is made, whatever the service would answer; None while calls are made.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES_TO_OPEN,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._clock = clock
        self._on_failure = on_failure
        self._failures = 0
        self._next_attempt = 0.0
        self.refused: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused."""
        return self._failures >= self._limit

    async def call(self, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Makes one call.

        Raises:
            ServiceUnavailable: The call found no service, or was not made because others just did not, or must not be.
        """
        if self.refused is not None:
            raise ServiceUnavailable(self.refused)
        return await self.probe(request)

    async def probe(self, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Makes one call, also while calls are refused: to find out whether they still have to be.

        Raises:
            ServiceUnavailable: The call found no service, or was not made because others just did not.
        """
        if self.is_open:
            now = self._clock()
            if now < self._next_attempt:
                raise ServiceUnavailable(f"circuit open: the last {self._failures} calls to Redis failed")
            self._next_attempt = now + self._pause_s
        try:
            result = await request()
        except ServiceUnavailable:
            self._failures += 1
            self._next_attempt = self._clock() + self._pause_s
            self._on_failure()
            raise
        self._failures = 0
        return result
