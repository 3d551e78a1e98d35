"""Training examples: each first touch of a course, with the history the learner had strictly before it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from batch.encoding import EncodedEvents, Times
from recsys.engagement import MS_PER_DAY
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import LOG_SCALE, Doubles, Examples, Floats, Rows


class _Histories(NamedTuple):
    rows: Rows
    weights: Floats
    strength: Floats


def build_examples(encoded: EncodedEvents, hyperparameters: HyperParameters, half_life_days: float) -> Examples:
    """Turns encoded events into engagement- and recency-weighted positives.

    A positive is the first interaction of a learner with a course whose engagement stayed positive; its history holds
    only what came at strictly earlier times, so a model never sees the answer, nor the rest of a basket.

    Args:
        encoded: The training side.
        hyperparameters: History length, pooling power and half-life of the examples.
        half_life_days: Of the engagement scores.
    """
    position, loss_weight = _positives(encoded, hyperparameters)
    user_order = np.argsort(encoded.user, kind="stable")
    events = np.split(user_order, np.cumsum(np.bincount(encoded.user, minlength=len(encoded.users)))[:-1])
    by_user = position[np.argsort(encoded.user[position], kind="stable")]
    wanted = np.split(by_user, np.cumsum(np.bincount(encoded.user[by_user], minlength=len(encoded.users)))[:-1])
    histories: list[_Histories] = []
    group = np.zeros(len(encoded.time), np.int64)
    groups = 0
    for mine, targets in zip(events, wanted, strict=True):
        if targets.size:
            times, index = np.unique(encoded.time[targets], return_inverse=True)
            group[targets] = groups + index
            groups += len(times)
            histories.append(_histories(encoded, mine, times, hyperparameters, half_life_days))
    return Examples(
        user=encoded.user[position] + 1,
        course=encoded.course[position],
        time=encoded.time[position],
        weight=loss_weight,
        group=group[position].astype(np.int32),
        history_rows=np.concatenate([history.rows for history in histories]),
        history_weights=np.concatenate([history.weights for history in histories]),
        strength=np.concatenate([history.strength for history in histories]),
    )


def _positives(encoded: EncodedEvents, hyperparameters: HyperParameters) -> tuple[np.ndarray, Floats]:
    """Positions of the first touches of liked pairs, and the loss weight of each (mean 1)."""
    pair = encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    total = np.bincount(inverse, encoded.weight)
    liked = np.sort(first[total > 0])[-hyperparameters.max_examples :]
    liking = np.log1p(total[inverse[liked]])
    age_days = (encoded.time[-1] - encoded.time[liked]) / MS_PER_DAY
    weight = liking * np.exp2(-age_days / hyperparameters.example_half_life_days)
    return liked, (weight / weight.mean()).astype(np.float32)


def _histories(
    encoded: EncodedEvents, mine: np.ndarray, times: Times, hyperparameters: HyperParameters, half_life_days: float
) -> _Histories:
    """What one learner's pool was just before each of `times` `(g,)`; the same numbers as `pool_engagement`."""
    per_ms = 1.0 / (half_life_days * MS_PER_DAY)
    last = encoded.time[mine[-1]]
    courses, column = np.unique(encoded.course[mine], return_inverse=True)
    # Sums relative to the learner's last event, so that no exponent leaves a double's span.
    sums = np.zeros((len(times) + 1, len(courses)))
    added = encoded.weight[mine] * np.exp2((encoded.time[mine] - last) * per_ms)
    np.add.at(sums, (np.searchsorted(times, encoded.time[mine], side="right"), column), added)
    scores = np.maximum(np.cumsum(sums[:-1], axis=0), 0.0)
    strength = np.stack([scores.sum(1) * np.exp2((last - times) * per_ms), (scores > 0).sum(1)], axis=1)
    rows, weights = _pooled(courses, scores, hyperparameters)
    return _Histories(rows, weights, (np.log1p(strength) / LOG_SCALE).astype(np.float32))


def _pooled(courses: Rows, scores: Doubles, hyperparameters: HyperParameters) -> tuple[Rows, Floats]:
    length = hyperparameters.history_length
    best = np.argsort(-scores, axis=1, kind="stable")[:, :length]
    kept = np.take_along_axis(scores, best, axis=1)
    top = np.maximum(kept[:, :1], np.finfo(np.float64).tiny)
    weights = np.where(kept > 0, (kept / top) ** hyperparameters.pool_power, 0.0)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1.0)
    padding = ((0, 0), (0, length - best.shape[1]))
    return np.pad(courses[best], padding).astype(np.int32), np.pad(weights, padding).astype(np.float32)
