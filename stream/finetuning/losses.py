"""Spikes of the training loss: which steps must not be taken. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_MEMORY = 0.98
_BEFORE_SPIKES = 20


class Losses:
    """Running mean and mean absolute deviation of the losses of steps that were taken.

    Args:
        spike: Deviations above the mean from which a loss is a spike.

    Attributes:
        stops: Steps in a row that were not taken.
    """

    def __init__(self, spike: float) -> None:
        self._spike = spike
        self.reset()

    def reset(self) -> None:
        """Forgets all losses."""
        self._mean, self._deviation, self._count, self.stops = 0.0, 0.0, 0, 0

    def is_spike(self, loss: float) -> bool:
        """Whether a loss is far above those before; never among the first few."""
        return self._count >= _BEFORE_SPIKES and loss > self._mean + self._spike * self._deviation

    def taken(self, loss: float) -> None:
        """A step was taken."""
        keep = min(_MEMORY, self._count / (self._count + 1))
        self._deviation = keep * self._deviation + (1 - keep) * abs(loss - self._mean)
        self._mean = keep * self._mean + (1 - keep) * loss
        self._count += 1
        self.stops = 0

    def state(self) -> Sequence[float]:
        """For the checkpoint."""
        return self._mean, self._deviation, self._count, self.stops

    def restore(self, state: Sequence[float]) -> None:
        """From the checkpoint."""
        self._mean, self._deviation = state[:2]
        self._count, self.stops = int(state[2]), int(state[3])
