"""An increment: what fine-tuning adds to a bundle's course vectors, biases and ranker, and scores with it. NumPy only.

score = (w + weights) · inputs: w are the ranker's weights for the learner, the inputs its signals and course features.
The signal of the towers is standardised from the raw affinity of course c for user vector u,
u · course_vectors[c] + course_bias[c] + D · (bias[c] + rows[c] · p(u)), p(u) = (basis · u) / U. The basis are the
directions in which the parent's course vectors differ most, so an increment moves courses along what the parent already
tells apart. D and U are the parent's own scales of affinities and user vectors: no number of an increment has a unit,
and one bound holds for every model.

Course features and item-item matrices are not learned by steps: `with_features` takes those of an instant, and
`with_item_item` those of a refresh (`recsys.model.links`).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.model.course_features import NAMES
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.links import ItemItem
from recsys.model.ranker import Ranker, mixed_weights
from recsys.model.signals import SIGNALS, Entries, log_context, positive_entries, standardised

_TOWERS = SIGNALS.index("towers")
INPUTS = len(SIGNALS) + len(NAMES)
"""What the ranker weighs: signals, then course features."""

_USERS_FOR_SCALE = 64
_SMALLEST_SCALE = 1e-6


class Increment(NamedTuple):
    """What fine-tuning learned of `n` courses; all zeros is the parent itself.

    Attributes:
        bias: `(n,)`, in units of the parent's scale.
        rows: `(n, rank)`, the same, along the basis.
        weights: Of the ranker's inputs, `(INPUTS,)`: its last layer's own bias, the same for every learner.
    """

    bias: Floats
    rows: Floats
    weights: Floats

    @classmethod
    def none(cls, courses: int, rank: int) -> Increment:
        """That of the parent."""
        return cls(np.zeros(courses, np.float32), np.zeros((courses, rank), np.float32), np.zeros(INPUTS, np.float32))

    def is_finite(self) -> bool:
        """Whether every number is one."""
        return all(bool(np.isfinite(each).all()) for each in self)


@dataclass(frozen=True, slots=True)
class Situation:
    """One learner at one instant, as far as scores depend on it.

    Attributes:
        projected: p(u) `(rank,)`.
        raw: The parent's affinities of the towers `(n,)`.
        signals: The parent's `(s, n)`.
        features: The course features of the instant `(f, n)`.
        weights: The ranker's weights of them for the learner `(INPUTS,)`.
        touched: Course rows of the learner's history `(m,)`.
    """

    projected: Floats
    raw: Floats
    signals: Floats
    features: Floats
    weights: Floats
    touched: Rows

    def inputs(self, rows: Rows) -> Floats:
        """What the ranker weighs of some courses `(k,)`: signals, then course features, `(k, INPUTS)`."""
        return np.concatenate([self.signals[:, rows], self.features[:, rows]]).T


class IncrementModel:
    """A parent's scores with an increment; immutable.

    Args:
        arrays: Of a bundle that `recsys.model.ranker` ranks.
        history_length: Most courses the user tower pools.
        rank: Directions along which courses may move, at least 1.
        own: Courses of the parent, the first rows: basis and scales are made of them, so that courses placed after them
            (`recsys.model.placed_courses`) leave what was learned as it is. None for all.

    Attributes:
        courses: Courses of the bundle.
        rank: As given, at most the vectors' length.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], history_length: int, *, rank: int, own: int | None = None
    ) -> None:
        self._arrays, self._history_length = arrays, history_length
        self._ranker = Ranker(arrays, history_length)
        vectors = np.asarray(arrays["course_vectors"], np.float64)
        self.courses, size = vectors.shape
        self.rank = min(rank, size)
        self._basis: Floats = _directions(vectors[:own], self.rank)
        self._scale, self._length = self._scales(own)

    def with_features(self, features: Floats) -> IncrementModel:
        """The same with other standardised course features `(n, f)`."""
        other = copy(self)
        other._ranker = self._ranker.with_features(features)  # noqa: SLF001 - of this class
        return other

    def with_item_item(self, item_item: ItemItem) -> IncrementModel:
        """The same with other item-item matrices, and the course features of the parent's end."""
        other = copy(self)
        other._arrays = {**self._arrays, **item_item.arrays()}  # noqa: SLF001 - of this class
        other._ranker = Ranker(other._arrays, self._history_length)  # noqa: SLF001 - of this class
        return other

    def situation(self, user_row: int, rows: Rows, scores: Doubles) -> Situation | None:
        """A learner's situation; None for one without positive engagement, whom popularity alone ranks.

        Args:
            user_row: Row of the user embeddings; 0 is the unknown user.
            rows: All courses of the learner's history `(m,)`.
            scores: Their engagement decayed to the instant `(m,)`, of either sign.
        """
        if not (scores > 0).any():
            return None
        return self.situations(np.array([user_row]), Entries(np.zeros(len(rows), np.intp), rows, scores))[0]

    def situations(self, users: NDArray[np.intp], histories: Entries) -> list[Situation]:
        """Of some learners with positive engagement; each the same to the last bit in every batch.

        Args:
            users: Their rows of the user embeddings.
            histories: All courses of their histories, with their engagement decayed to the instant, of either sign.
        """
        liked = positive_entries(histories)
        engagement = np.bincount(liked.owner, liked.scores, minlength=len(users))
        context = log_context(np.bincount(liked.owner, minlength=len(users)), engagement)
        vectors = self._ranker.signals.user_vectors(users, liked)
        raw = self._ranker.signals.affinities(vectors)
        signals = self._ranker.signals.signals_of(users, liked, histories.owner, histories.rows, raw)
        # Products of one learner each: of several together the last bits would depend on how many.
        projected = (np.matmul(vectors[:, None], self._basis.T)[:, 0] / self._length).astype(np.float32)
        weights, features = mixed_weights(self._arrays, context), self._ranker.features
        bounds = np.searchsorted(histories.owner, np.arange(len(users) + 1))
        return [
            Situation(projected[at], raw[at], signals[at], features, weights[at], histories.rows[start:end])
            for at, (start, end) in enumerate(pairwise(bounds.tolist()))
        ]

    def scores(self, situation: Situation, increment: Increment) -> Floats:
        """Of every course `(n,)`: what `recsys.model.scorer` gives with the bundle that `arrays` makes."""
        moved = self._scale * (increment.bias + increment.rows @ situation.projected)
        signal = standardised((situation.raw + moved).astype(np.float32), situation.touched)
        weights = situation.weights + increment.weights
        scores = _mixed(situation, weights)
        scores += weights[_TOWERS] * (signal - situation.signals[_TOWERS])
        return scores

    def parent_scores(self, situation: Situation) -> Floats:
        """Those of the parent `(n,)`."""
        return _mixed(situation, situation.weights)

    def gain(self, situation: Situation) -> float:
        """How much a score rises as `bias` rises by 1, with the learner's own standardisation left as it is."""
        others = np.delete(situation.raw, situation.touched)
        deviation = float(others.std()) if len(others) else 0.0
        return float(situation.weights[_TOWERS]) * self._scale / (deviation + _SMALLEST_SCALE)

    def arrays(self, increment: Increment) -> dict[str, NDArray[Any]]:
        """The model's arrays with the increment in `course_vectors`, `course_bias` and `mixer_weights`."""
        a = self._arrays
        vectors = a["course_vectors"] + self._scale / self._length * (increment.rows @ self._basis)
        bias = a["course_bias"] + self._scale * increment.bias
        return dict(a) | {
            "course_vectors": vectors.astype(np.float32),
            "course_bias": bias.astype(np.float32),
            "mixer_weights": (a["mixer_weights"] + increment.weights).astype(np.float32),
        }

    def _scales(self, own: int | None) -> tuple[float, float]:
        """The parent's typical deviation of affinities over courses, and length of user vectors, without history."""
        none, nothing = np.empty(0, np.int32), np.empty(0)
        users = range(min(_USERS_FOR_SCALE, len(self._arrays["user_embeddings"])))
        vectors = np.stack([self._ranker.signals.user_vector(user, none, nothing) for user in users])
        affinities = vectors @ self._arrays["course_vectors"][:own].T + self._arrays["course_bias"][:own]
        deviation = float(np.median(affinities.std(axis=1)))
        length = float(np.median(np.linalg.norm(vectors, axis=1)))
        return max(deviation, _SMALLEST_SCALE), max(length, _SMALLEST_SCALE)


def _mixed(situation: Situation, weights: Floats) -> Floats:
    scores: Floats = weights[: len(SIGNALS)] @ situation.signals
    scores += weights[len(SIGNALS) :] @ situation.features
    return scores


def _directions(vectors: Doubles, rank: int) -> Floats:
    """The directions in which course vectors differ most `(rank, d)`, signs fixed so that a rerun gives the same."""
    _, found = np.linalg.eigh(np.cov(vectors, rowvar=False).reshape(vectors.shape[1], vectors.shape[1]))
    directions = found[:, ::-1][:, :rank].T
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(rank), largest])
    return np.asarray(directions * signs[:, None], np.float32)
