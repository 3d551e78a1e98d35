"""Where negatives come from: one seam, four samplers, and the expected counts that logQ correction needs.

Candidates are shared by all examples of a step. A sampled softmax is biased towards what is sampled rarely, so
each logit gets −log Q (Bengio, Senécal 2008; for in-batch negatives Yi et al., RecSys 2019). Pairs a learner touches
anywhere in the training window are masked by the training step, whichever sampler drew them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigurationError
from recsys.model.inputs import Floats, Rows

_HARD_SHARE = 0.25


class Candidates(NamedTuple):
    """Candidates of one step.

    Attributes:
        courses: Course rows `(k,)`, repeats allowed.
        log_q: Log of each course's probability in a draw, over the catalogue `(n_courses,)`.
        keep: How many of the highest scored candidates of an example stay; `k` keeps all.
    """

    courses: Rows
    log_q: Floats
    keep: int


class Sampler(Protocol):
    """Draws the candidates of a step."""

    def draw(self, positives: Rows, k: int, rng: np.random.Generator) -> Candidates:
        """`k` candidates for a step whose positives are `(batch,)`."""
        ...


class WeightedSampler:
    """Draws courses by fixed probabilities, with replacement.

    Args:
        probabilities: `(n_courses,)`, summing to 1, all positive.
        hard: Only the highest scored quarter of the candidates stays for each example.
    """

    def __init__(self, probabilities: NDArray[np.float64], *, hard: bool = False) -> None:
        self._cumulative = np.cumsum(probabilities)
        self._log_q = np.log(probabilities).astype(np.float32)
        self._hard = hard

    def draw(self, positives: Rows, k: int, rng: np.random.Generator) -> Candidates:
        """See `Sampler.draw`; the positives play no part."""
        drawn = np.searchsorted(self._cumulative, rng.random(k) * self._cumulative[-1], side="right")
        keep = max(1, int(k * _HARD_SHARE)) if self._hard else k
        return Candidates(np.minimum(drawn, len(self._log_q) - 1).astype(np.int32), self._log_q, keep)


class InBatchSampler:
    """Takes the step's own positives as candidates, so a course is drawn as often as it is a positive.

    Args:
        frequencies: How often each course is a positive, `(n_courses,)`.
    """

    def __init__(self, frequencies: NDArray[np.float64]) -> None:
        self._log_q = np.log(np.maximum(frequencies, 0.5) / frequencies.sum()).astype(np.float32)

    def draw(self, positives: Rows, k: int, rng: np.random.Generator) -> Candidates:
        """See `Sampler.draw`."""
        return Candidates(rng.choice(positives, k, replace=k > len(positives)), self._log_q, k)


def make_sampler(name: str, frequencies: NDArray[np.float64]) -> Sampler:
    """The sampler of that name.

    Args:
        name: One of `recsys.model.hyperparameters.SAMPLERS`.
        frequencies: How often each course is a positive, `(n_courses,)`.

    Raises:
        ConfigurationError: For another name.
    """
    smoothed = (frequencies + 1.0) ** 0.75
    if name == "uniform":
        return WeightedSampler(np.full(len(frequencies), 1.0 / len(frequencies)))
    if name == "popularity":
        return WeightedSampler(smoothed / smoothed.sum())
    if name == "hard":
        return WeightedSampler(smoothed / smoothed.sum(), hard=True)
    if name == "in_batch":
        return InBatchSampler(frequencies)
    raise ConfigurationError(f"expected a sampler's name, received {name!r}")
