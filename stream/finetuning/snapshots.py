"""Snapshots: the ranker's inputs for some learners at an earlier time, to be compared with all they liked since.

The retrain's ranker learns from such lists (`batch.ranking.snapshots`): a learner at an instant, and what they liked in
the weeks after. A label of the stream is the next touch alone, often of the same hour. Signals and features are kept as
they were, because those of now know what was liked since.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recsys.model.increment import INPUTS, Situation
from recsys.model.inputs import Floats, Rows
from recsys.model.ranking_lists import MOST_EXTRA, NEVER, RankingLists, candidates, sizes
from recsys.model.signals import SIGNALS
from stream.finetuning.learners import Learners
from stream.finetuning.moved_rows import MovedRows
from stream.finetuning.situations import Situations


class _Held(NamedTuple):
    """A learner of a snapshot.

    Attributes:
        hash: Of their id.
        user: The learner.
        touched: Course rows of their history `(m,)`.
        signals: The ranker's `(s, n)`.
        weights: The parent's, of signals and features, for the learner `(s + f,)`.
    """

    hash: int
    user: str
    touched: Rows
    signals: NDArray[np.float16]
    weights: Floats


class Snapshot:
    """Learners as they were at their first label after an instant: an even sample of bounded size.

    Held are those whose ids have the smallest hashes (bottom-k sampling: Cohen and Kaplan, "Summarizing data using
    bottom-k sketches", PODC 2007). So a learner is taken in once, at their first label, without a table of all who had
    one. (After an erasure or a merge a place is free, and may be taken by a learner who had an earlier label.)

    Args:
        size: Most learners.
        features: Course features of the instant, standardised `(n, f)`.
        salt: Of the hashes, so that each snapshot is another sample.
    """

    def __init__(self, size: int, features: Floats, salt: int) -> None:
        self._size, self._salt = size, salt
        self._features, self._known = features, np.ones(len(features), bool)
        self._held: list[_Held] = []

    def __len__(self) -> int:
        return len(self._held)

    def saw(self, user: str, situation: Situation) -> None:
        """A label came: takes its learner in, if it is of the sample and the learner's first."""
        place = bisect_left(self._held, (self._hash(user), user), key=lambda each: (each.hash, each.user))
        if place == self._size or (place < len(self._held) and self._held[place].user == user):
            return
        signals = situation.signals.astype(np.float16)  # of every course: what will be liked is not known yet
        # Copies, because these are parts of arrays of all learners of a batch.
        held = _Held(self._hash(user), user, situation.touched.copy(), signals, situation.weights.copy())
        self._held = [*self._held[:place], held, *self._held[place:]][: self._size]

    def _hash(self, user: str) -> int:
        salt = self._salt.to_bytes(8, "big")
        return int.from_bytes(blake2b(user.encode(), digest_size=8, salt=salt).digest(), "big") >> 1

    def lists(self, learners: Learners, situations: Situations, rng: Generator) -> RankingLists:
        """The lists of those who like something now that they had not touched then."""
        offered, features = self._known & situations.offered, self._features.T
        width = sum(sizes(len(offered))) + MOST_EXTRA
        parts = list[tuple[Floats, ...]]()
        for _, user, touched, half_signals, weights in self._held:
            labels = _liked_since(learners, user, situations.row_of, offered, touched)
            if not len(labels):
                continue
            signals = half_signals.astype(np.float32)
            scores = weights[: len(SIGNALS)] @ signals + weights[len(SIGNALS) :] @ features
            rows, log_inverse = candidates(np.where(offered, scores, -np.inf), touched, labels, rng)
            inputs = np.concatenate([signals[:, rows], features[:, rows]]).T
            found = (inputs, scores[rows], np.isin(rows, labels), log_inverse)
            parts.append(tuple(_padded(a, width, p) for a, p in zip(found, (0.0, 0.0, 0.0, NEVER), strict=True)))
        if not parts:
            return RankingLists(np.empty((0, width, INPUTS), np.float32), *(np.empty((3, 0, width), np.float32)))
        return RankingLists(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))

    def forget(self, user: str) -> None:
        """Drops a learner."""
        self._held = [each for each in self._held if each.user != user]

    def move(self, moved: MovedRows) -> None:
        """Goes over to other courses behind the parent's own; those that came are no candidates of its lists."""
        self._features, self._known = moved.taken(self._features), moved.taken(self._known)
        self._held = [
            each._replace(
                touched=_known(moved.now[each.touched]), signals=np.ascontiguousarray(moved.taken(each.signals.T).T)
            )
            for each in self._held
        ]

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        held = [tuple(each) for each in self._held]
        return {"features": self._features, "salt": self._salt, "known": self._known, "held": held}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._known, self._held = state["known"], [_Held(*each) for each in state["held"]]


class Snapshots:
    """The latest snapshots of one line.

    Args:
        count: Most snapshots kept.
        learners: Most of each.

    Attributes:
        most_lists: As many as they may hold together.
    """

    def __init__(self, count: int, learners: int) -> None:
        self._learners, self.most_lists = learners, count * learners
        self._kept: deque[Snapshot] = deque(maxlen=count)

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, features: Floats, salt: int) -> None:
        """From now on learners go into a new snapshot; see `Snapshot`."""
        self._kept.append(Snapshot(self._learners, features, salt))

    def saw(self, user: str, situation: Situation) -> None:
        """A label came.

        Args:
            user: The learner.
            situation: Theirs just before it, with the item-item matrices in training.
        """
        if self._kept:
            self._kept[-1].saw(user, situation)

    def lists(self, learners: Learners, situations: Situations, rng: Generator) -> RankingLists | None:
        """The lists of all snapshots; None before the first."""
        parts = [each.lists(learners, situations, rng) for each in self._kept]
        return RankingLists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))) if parts else None

    def forget(self, user: str) -> None:
        """Drops a learner."""
        for each in self._kept:
            each.forget(user)

    def move(self, moved: MovedRows) -> None:
        """Goes over to other courses behind the parent's own."""
        for each in self._kept:
            each.move(moved)

    def state(self) -> Sequence[Mapping[str, Any]]:
        """For the checkpoint."""
        return [each.state() for each in self._kept]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """From the checkpoint."""
        self._kept.clear()
        for each in state:
            self.begin(each["features"], each["salt"])
            self._kept[-1].restore(each)


def _liked_since(
    learners: Learners, user: str, row_of: Mapping[str, int], offered: NDArray[np.bool_], touched: Rows
) -> Rows:
    """Rows of courses that a learner likes and had not touched then."""
    rows = _known(np.array([row_of.get(course, -1) for course in learners.liked_by(user)], np.int32))
    return np.setdiff1d(rows[offered[rows]], touched)


def _known(rows: Rows) -> Rows:
    return rows[rows >= 0]


def _padded(values: NDArray[Any], width: int, by: float) -> Floats:
    """Values `(c, …)` of candidates as single precision `(width, …)`."""
    found = np.full((width, *values.shape[1:]), by, np.float32)
    found[: len(values)] = values
    return found
