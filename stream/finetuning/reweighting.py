"""The ranker's weights, estimated anew from what learners liked since earlier snapshots. No clock, no I/O.

The increment's weights minimise the mean cost (`recsys.model.ranking_lists`) on the lists of the snapshots, plus a
penalty toward the parent's weights. The penalty is quadratic, and its matrix is the curvature of the cost on the
retrain's own lists: a direction that mattered there is held, one that did not is free (elastic weight consolidation:
Kirkpatrick and others, "Overcoming catastrophic forgetting in neural networks", PNAS 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Doubles, Floats
from recsys.model.ranking_lists import CURVATURE, RankingLists, cost
from stream.finetuning.line import Line

_RIDGE = 1e-3
"""Added to the curvature, which is 0 in directions in which inputs are the same for all candidates."""

_STEPS = 15
"""Most iterations of the search for the least cost."""


def reweigh(line: Line) -> str:
    """Estimates the ranker's weights of a line anew, and begins the next snapshot.

    Not where the parent lacks the curvature of its own lists (`CURVATURE`), nor where the catalogue is so large that
    the snapshots cannot hold enough learners.

    Returns:
        What was done, for the counts; "" for nothing.
    """
    rules, curvature = line.rules, line.parent.arrays.get(CURVATURE)
    if line.frozen or curvature is None or line.snapshots.most_lists < rules.least_lists:
        return ""
    lists = line.snapshots.lists(line.learners, line.situations, line.rng)
    line.snapshots.begin(line.situations.features, int(line.rng.integers(2**63)))
    if lists is None or len(lists.base) < rules.least_lists:
        return ""
    start, held, bound = line.increment.weights, rules.held_lists, rules.weights_bound
    weights = estimated(lists, curvature, start, held=held, bound=bound)
    if not np.isfinite(weights).all():
        return "reweighing_not_finite"
    line.steps.reweigh(weights)
    return "reweighed"


def estimated(
    lists: RankingLists, curvature: NDArray[np.floating], start: Floats, *, held: float, bound: float
) -> Floats:
    """The weights of an increment, `(INPUTS,)`.

    Args:
        lists: At least one.
        curvature: Of the retrain's lists `(INPUTS, INPUTS)`.
        start: The weights until now.
        held: How many lists the penalty stands for: the fewer lists there are beside it, the less the weights move.
        bound: Largest size of a weight.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - of the batch layer's packages, in the training process alone

    if not np.isfinite(curvature).all():
        return np.full_like(start, np.nan)
    # Rounded to single precision it may have directions below 0.
    sizes, directions = np.linalg.eigh(np.asarray(curvature, np.float64))
    precision = held / len(lists.base) * (np.maximum(sizes, 0.0) + _RIDGE)
    # In these coordinates the penalty is the same in all directions, so few steps are enough.
    whitened = directions / np.sqrt(precision)

    def penalised(at: Doubles) -> tuple[float, Doubles]:
        value, gradient = cost(lists, whitened @ at)
        return value + 0.5 * float(at @ at), gradient @ whitened + at

    begin = np.linalg.solve(whitened, start.astype(np.float64))
    found = minimize(penalised, begin, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    weights: Floats = np.clip(whitened @ found.x, -bound, bound).astype(np.float32)
    return weights
