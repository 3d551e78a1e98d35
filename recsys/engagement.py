"""Engagement: implicit feedback summed under forward decay.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay: A Practical Time Decay Model for Streaming
Systems", ICDE 2009) stores `A = Σ wᵢ · 2^((tᵢ − L)/h)` with a fixed landmark `L` and half-life `h`. The score at
time `t` is `A · 2^(−(t − L)/h)`. So the order of contributions does not matter, and a ranking needs no decay at read
time. What contributes is said by a learner's record of a course (`recsys.record`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recsys.errors import ConfigurationError
from recsys.vocabulary import DEFAULT_WEIGHTS

LANDMARK_MS = 1_577_836_800_000
"""2020-01-01T00:00:00Z. Part of the stored state: changing it needs a rebuild."""

MS_PER_DAY = 86_400_000
MIN_HALF_LIFE_DAYS = 7.5
"""A double spans 2^±1022: a shorter half-life would overflow within the years 2000–2040."""

RATING_MIDPOINT = 3.0


@dataclass(frozen=True, slots=True)
class ForwardDecay:
    """Exponential forward decay around `LANDMARK_MS`.

    Args:
        half_life_days: Days after which a contribution counts half; at least `MIN_HALF_LIFE_DAYS`.

    Raises:
        ConfigurationError: For a half-life that a double cannot span.
    """

    half_life_days: float
    per_ms: float = field(init=False)

    def __post_init__(self) -> None:
        if not self.half_life_days >= MIN_HALF_LIFE_DAYS:
            raise ConfigurationError(
                f"expected a half-life of at least {MIN_HALF_LIFE_DAYS} days, received {self.half_life_days}"
            )
        object.__setattr__(self, "per_ms", 1.0 / (self.half_life_days * MS_PER_DAY))

    def stored(self, weight: float, timestamp_ms: int) -> float:
        """What a contribution of this weight adds to the stored sum."""
        return weight * math.exp2((timestamp_ms - LANDMARK_MS) * self.per_ms)

    def score(self, stored: float, at_ms: int) -> float:
        """The score at `at_ms` of a stored sum."""
        return stored * math.exp2((LANDMARK_MS - at_ms) * self.per_ms)


@dataclass(frozen=True, slots=True)
class EngagementWeights:
    """How much an event of each type says, before decay.

    Args:
        by_type: Weight for each type of `DEFAULT_WEIGHTS`. `progress` is multiplied by the quarters reached (0..4),
            `rate` by `value − 3` (−2..2); that of an opposite counts while its state is left.

    Raises:
        ConfigurationError: When a type is missing or unknown.
    """

    by_type: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.by_type) != set(DEFAULT_WEIGHTS):
            odd = sorted(set(self.by_type) ^ set(DEFAULT_WEIGHTS))
            raise ConfigurationError(f"expected one weight for each event type, received a table that differs in {odd}")


def relative_to_first(scores: Sequence[float]) -> list[float]:
    """Scores as they are shown where their size says nothing: 1 is the first. As they are if the first is not above 0.

    Args:
        scores: Non-increasing.
    """
    top = scores[0] if scores else 0.0
    return [score / top for score in scores] if top > 0 else list(scores)
