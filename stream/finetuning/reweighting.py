"""The ranker's weights, estimated anew from what learners liked since earlier snapshots. No clock, no I/O.

The increment's weights are those of least mean cost (`recsys.model.ranking_lists`) on the lists of the snapshots, plus
a penalty toward the parent in the metric of its own lists: moving in a direction costs as much as the lists of the
retrain said about it (elastic weight consolidation: Kirkpatrick and others, "Overcoming catastrophic forgetting in
neural networks", PNAS 2017). So what these lists say nothing new about stays, and the old slice with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Doubles, Floats
from recsys.model.ranking_lists import RankingLists, cost

_RIDGE = 1e-3
"""Beside the curvature, which some directions of inputs that say the same have nothing of."""

_STEPS = 15


def estimated(
    lists: RankingLists, curvature: NDArray[np.floating], start: Floats, *, held: float, bound: float
) -> Floats:
    """The weights of an increment, `(INPUTS,)`.

    Args:
        lists: At least one.
        curvature: Of the retrain's lists `(INPUTS, INPUTS)`.
        start: The weights until now.
        held: As how many lists those of the retrain count beside these: the fewer there are, the less they move.
        bound: Largest size of a weight.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - of the batch layer's packages, in the training process alone

    precision = held / len(lists.base) * (np.asarray(curvature, np.float64) + _RIDGE * np.eye(len(start)))
    # In these coordinates the penalty is a circle, so few steps are enough.
    whitened = np.linalg.cholesky(np.linalg.inv(precision))

    def penalised(at: Doubles) -> tuple[float, Doubles]:
        value, gradient = cost(lists, whitened @ at)
        return value + 0.5 * float(at @ at), gradient @ whitened + at

    begin = np.linalg.solve(whitened, start.astype(np.float64))
    found = minimize(penalised, begin, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    weights: Floats = np.clip(whitened @ found.x, -bound, bound).astype(np.float32)
    return weights
