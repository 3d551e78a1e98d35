"""The ranker: how much to trust which signal and course feature, for whom. NumPy only.

score = ⟨w + net(context), [signals, features]⟩, averaged over members trained from different seeds. Learners without
positive engagement are ranked by one course feature alone, the popularity that was best for newcomers.
`batch.ranking.mixer` trains it; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.signals import SIGNALS, SignalModel, log_context, positive


class Ranker:
    """Scores learners; immutable.

    Args:
        arrays: Of the signals (`SignalModel`), and `features` `(n, f)` standardised, `context_mean`, `context_scale`
            `(2,)`, `mixer_weights` `(members, s + f)`, `mixer_hidden_kernel` `(members, 2, h)`, `mixer_hidden_bias`
            `(members, h)`, `mixer_output_kernel` `(members, h, s + f)`, `mixer_output_bias` `(members, s + f)`,
            `newcomer_weights` `(f,)`.
        history_length: Most courses the user tower pools.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], history_length: int) -> None:
        self._arrays = arrays
        self._signals = SignalModel(arrays, history_length)
        self._use(arrays["features"])

    def with_features(self, features: Floats) -> Ranker:
        """The same ranker with other standardised course features `(n, f)`."""
        other = copy(self)
        other._use(features)  # noqa: SLF001 - of this class
        return other

    def _use(self, features: Floats) -> None:
        self._features = np.ascontiguousarray(features.T)
        self._newcomers: Floats = self._arrays["newcomer_weights"] @ self._features

    def scores(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """Of one learner for every course, `(n,)`.

        Args:
            user_row: Row of the user embeddings; 0 is the unknown user.
            rows: All courses of the learner's history `(m,)`.
            scores: Their engagement decayed to now `(m,)`, of either sign.
        """
        liked, engagement = positive(rows, scores)
        if not len(liked):
            return self._newcomers
        weights = self.weights(len(liked), float(engagement.sum()))
        signals = self._signals.signals(user_row, liked, engagement, rows)
        mixed: Floats = weights[: len(SIGNALS)] @ signals
        mixed += weights[len(SIGNALS) :] @ self._features
        return mixed

    def weights(self, courses: int, engagement: float) -> Floats:
        """Of signals and features for a learner with so many liked courses and so much engagement, `(s + f,)`."""
        return mixed_weights(self._arrays, log_context(courses, engagement))

    def inputs(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """Signals and features of one learner, `(s + f, n)`; their sum by `weights` is the score."""
        liked, engagement = positive(rows, scores)
        return np.concatenate([self._signals.signals(user_row, liked, engagement, rows), self._features])


def mixed_weights(arrays: Mapping[str, NDArray[Any]], context: Floats) -> Floats:
    """The weights of signals and features for a learner, `(s + f,)`.

    Args:
        arrays: The mixer's, as of `Ranker`.
        context: Of the learner, `(2,)` (`recsys.model.signals.log_context`).
    """
    seen = (context - arrays["context_mean"]) / arrays["context_scale"]
    hidden = np.tanh(np.einsum("c,mch->mh", seen, arrays["mixer_hidden_kernel"]) + arrays["mixer_hidden_bias"])
    moved = np.einsum("mh,mhf->mf", hidden, arrays["mixer_output_kernel"]) + arrays["mixer_output_bias"]
    weights: Floats = (arrays["mixer_weights"] + moved).mean(axis=0).astype(np.float32)
    return weights
