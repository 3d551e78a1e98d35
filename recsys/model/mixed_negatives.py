"""Which courses a training step of the towers looks at where the catalogue is large, and how likely each was to be one.

Negatives are those of mixed negative sampling (Yang and others: "Mixed negative sampling for learning two-tower neural
networks in recommendations", WWW 2020): the targets of the other examples of the batch, which come by how often a
course is a target, and some of the whole catalogue, all alike. A course that is a candidate with chance q stands for
1/q courses: log q is taken off its logit (Bengio and Senécal: "Adaptive importance sampling to accelerate training of
a neural probabilistic language model", 2008; logQ of Yi and others: "Sampling-bias-corrected neural modeling for large
corpus item recommendations", RecSys 2019). Here q is exact, so the partition function is estimated without bias.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from recsys.model.inputs import Doubles, Floats, Rows


class Candidates(NamedTuple):
    """The courses of one step.

    Attributes:
        rows: Ascending `(c,)`.
        log_chance: Log of the chance with which each is a candidate of an example that it is no target of `(c,)`.
    """

    rows: Rows
    log_chance: Floats


class MixedNegatives:
    """Candidates of batches that are drawn from the examples without replacement.

    Args:
        targets: Of all examples `(e, n)`, at least one example.
        batch: Examples of a batch, at most `e`.
        drawn: Courses drawn from the whole catalogue for each batch; all of them where it is no larger.
    """

    def __init__(self, targets: sparse.csr_array, *, batch: int, drawn: int) -> None:
        self._targets, self._drawn = targets, min(drawn, targets.shape[1])
        counts = np.bincount(targets.indices, minlength=targets.shape[1])
        absent = _none_drawn(targets.shape[0] - 1, counts, batch - 1) * (1 - self._drawn / targets.shape[1])
        self._log_chance = np.log1p(-absent).astype(np.float32)

    def draw(self, chosen: NDArray[np.integer[Any]], rng: np.random.Generator) -> Candidates:
        """The targets of the examples of a batch `(b,)`, and the drawn courses."""
        drawn = rng.choice(self._targets.shape[1], self._drawn, replace=False, shuffle=False)
        rows = np.union1d(self._targets[chosen].indices, drawn).astype(np.int32)
        return Candidates(rows, self._log_chance[rows])


def _none_drawn(examples: int, marked: NDArray[np.integer[Any]], draws: int) -> Doubles:
    """The chance that none of `marked` examples is among `draws` of all `examples`, each drawn at most once."""
    free = examples - marked
    possible = free >= draws
    left = np.where(possible, free, draws)
    log = special.gammaln(left + 1) - special.gammaln(left - draws + 1)
    log -= special.gammaln(examples + 1) - special.gammaln(examples - draws + 1)
    chance: Doubles = np.where(possible, np.exp(np.minimum(log, 0.0)), 0.0)
    return chance
