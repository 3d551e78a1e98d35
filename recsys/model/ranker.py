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
from recsys.model.signals import SIGNALS, Entries, SignalModel, log_context, positive, positive_entries


class Ranker:
    """Scores learners; immutable.

    Args:
        arrays: Of the signals (`SignalModel`), and `features` `(n, f)` standardised, `context_mean`, `context_scale`
            `(2,)`, `mixer_weights` `(members, s + f)`, `mixer_hidden_kernel` `(members, 2, h)`, `mixer_hidden_bias`
            `(members, h)`, `mixer_output_kernel` `(members, h, s + f)`, `mixer_output_bias` `(members, s + f)`,
            `newcomer_weights` `(f,)`.
        history_length: Most courses the user tower pools.

    Attributes:
        signals: What it weighs beside the course features.
        features: Those of the courses, standardised `(f, n)`.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], history_length: int) -> None:
        self._arrays = arrays
        self.signals = SignalModel(arrays, history_length)
        self._use(arrays["features"])

    def with_features(self, features: Floats) -> Ranker:
        """The same ranker with other standardised course features `(n, f)`."""
        other = copy(self)
        other._use(features)  # noqa: SLF001 - of this class
        return other

    def _use(self, features: Floats) -> None:
        self.features = np.ascontiguousarray(features.T)
        self._newcomers: Floats = self._arrays["newcomer_weights"] @ self.features

    def scores(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """Of one learner for every course, `(n,)`.

        Args:
            user_row: Row of the user embeddings; 0 is the unknown user.
            rows: All courses of the learner's history `(m,)`.
            scores: Their engagement decayed to now `(m,)`, of either sign.
        """
        found: Floats = self.scores_of(np.array([user_row]), Entries(np.zeros(len(rows), np.intp), rows, scores))[0]
        return found

    def scores_of(self, users: NDArray[np.intp], histories: Entries) -> Floats:
        """Of some learners for every course, `(learners, n)`; each the same to the last bit in every batch.

        Args:
            users: Their rows of the user embeddings.
            histories: All courses of their histories, with their engagement decayed to now, of either sign.
        """
        liked = positive_entries(histories)
        counts = np.bincount(liked.owner, minlength=len(users))
        some = counts > 0
        if len(users) and some.all():
            return self._mixed(users, counts, liked, histories)
        scores = np.empty((len(users), self.features.shape[1]), np.float32)
        scores[~some] = self._newcomers
        if some.any():
            place = some.cumsum() - 1
            kept = some[histories.owner]
            touched = Entries(place[histories.owner[kept]], histories.rows[kept], histories.scores[kept])
            scores[some] = self._mixed(users[some], counts[some], liked._replace(owner=place[liked.owner]), touched)
        return scores

    def _mixed(self, users: NDArray[np.intp], counts: NDArray[np.intp], liked: Entries, touched: Entries) -> Floats:
        engagement = np.bincount(liked.owner, liked.scores, minlength=len(users))
        weights = mixed_weights(self._arrays, log_context(counts, engagement))
        signals = self.signals.signals_of(users, liked, touched.owner, touched.rows)
        # Products of one learner each: of several together the last bits would depend on how many.
        mixed: Floats = np.matmul(weights[:, None, len(SIGNALS) :], self.features)[:, 0]
        mixed += np.matmul(weights[:, None, : len(SIGNALS)], signals)[:, 0]
        return mixed

    def weights(self, courses: int, engagement: float) -> Floats:
        """Of signals and features for a learner with so many liked courses and so much engagement, `(s + f,)`."""
        return mixed_weights(self._arrays, log_context(courses, engagement))

    def inputs(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """Signals and features of one learner, `(s + f, n)`; their sum by `weights` is the score."""
        liked, engagement = positive(rows, scores)
        return np.concatenate([self.signals.signals(user_row, liked, engagement, rows), self.features])


def mixed_weights(arrays: Mapping[str, NDArray[Any]], context: Floats) -> Floats:
    """The weights of signals and features for learners, `(..., s + f)`.

    Args:
        arrays: The mixer's, as of `Ranker`.
        context: Of the learners, `(..., 2)` (`recsys.model.signals.log_context`).
    """
    seen = ((context - arrays["context_mean"]) / arrays["context_scale"])[..., None, None, :]
    hidden = np.tanh(np.matmul(seen, arrays["mixer_hidden_kernel"]) + arrays["mixer_hidden_bias"][:, None])
    moved = np.matmul(hidden, arrays["mixer_output_kernel"])[..., 0, :] + arrays["mixer_output_bias"]
    weights: Floats = (arrays["mixer_weights"] + moved).mean(axis=-2).astype(np.float32)
    return weights
