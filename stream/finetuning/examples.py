"""Training examples of an increment: candidates with their probabilities, a reservoir of earlier ones. NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recsys.model.increment import IncrementModel, Situation
from recsys.model.inputs import Doubles, Floats, Rows
from stream.finetuning.moved_rows import MovedRows

NEVER = 1e9
"""In the place of a log-probability: takes the course out of the softmax."""

_UNIFORM_SHARE = 0.5
_FIELDS = ("projected", "gain", "courses", "base", "inputs", "log_q")


class Frequencies:
    """How often courses are taken, estimated on the way: counts that halve with every `half_life` positive events.

    Args:
        courses: In the bundle.
        half_life: In positive events.
    """

    def __init__(self, courses: int, half_life: float) -> None:
        self.counts: Doubles = np.zeros(courses)
        self._grow = 2.0 ** (1.0 / half_life)
        self._unit = 1.0

    def add(self, row: int) -> None:
        """Counts a positive event. Later ones count more, which is the same as letting earlier ones count less."""
        self._unit *= self._grow
        self.counts[row] += self._unit
        if self._unit > 2.0**40:
            self.counts /= self._unit
            self._unit = 1.0

    def probabilities(self, offered: NDArray[np.bool_]) -> Doubles:
        """Half uniform, half by frequency, over the courses that are offered `(n,)`."""
        uniform = offered / max(1, int(offered.sum()))
        often = np.where(offered, self.counts, 0.0)
        total = often.sum()
        if total <= 0:
            return np.asarray(uniform, np.float64)
        mixed: Doubles = _UNIFORM_SHARE * uniform + (1 - _UNIFORM_SHARE) * often / total
        return mixed

    def move(self, moved: MovedRows) -> None:
        """Goes over to other courses behind the parent's own."""
        self.counts = moved.taken(self.counts)

    def state(self) -> Sequence[Any]:
        """For the checkpoint."""
        return self.counts, self._unit

    def restore(self, state: Sequence[Any]) -> None:
        """From the checkpoint."""
        self.counts, self._unit = state


class Example:
    """One positive event as the training step sees it; columns as of `recsys.model.increment_training.Examples`.

    Attributes:
        user: The learner, so that an erasure finds what was learned from them.
        columns: By name.
    """

    __slots__ = ("columns", "user")

    def __init__(self, user: str, columns: Mapping[str, Any]) -> None:
        self.user, self.columns = user, columns


def example(
    model: IncrementModel,
    situation: Situation,
    *,
    user: str,
    positive: int,
    probabilities: Doubles,
    draws: int,
    rng: Generator,
) -> Example:
    """Makes the example of a positive event.

    Args:
        model: The parent.
        situation: Of the learner just before the event.
        user: The learner.
        positive: Row of the course.
        probabilities: Of a draw to be each course `(n,)`, > 0 for all that are offered.
        draws: Courses to draw.
        rng: Draws.
    """
    scores = model.parent_scores(situation)
    free = probabilities > 0
    free[situation.touched] = free[positive] = False
    candidates, log_q = _candidates(np.where(free, scores, -np.inf), np.where(free, probabilities, 0.0), draws, rng)
    rows = np.concatenate([[positive], candidates]).astype(np.int32)
    columns = {
        "projected": situation.projected,
        "gain": np.float32(model.gain(situation)),
        "courses": rows,
        "base": scores[rows].astype(np.float32),
        "inputs": np.ascontiguousarray(situation.inputs(rows)),
        "log_q": np.concatenate([[0.0], log_q]).astype(np.float32),
    }
    return Example(user, columns)


def _candidates(scores: Floats, probabilities: Doubles, draws: int, rng: Generator) -> tuple[Rows, Doubles]:
    """Courses beside the positive one: half are the best, which decide the top of a list; half are drawn of the others.

    Args:
        scores: −inf for courses that must not be among them `(n,)`.
        probabilities: Of a draw, to scale; 0 for the same `(n,)`.
        draws: How many.
        rng: Draws.

    Returns:
        Rows `(draws,)`, and log of how often each is expected `(draws,)`: `NEVER` where it must not count.
    """
    count = min(draws // 2, len(scores) - 1)
    best = np.argpartition(-scores, count)[:count]
    others = probabilities.copy()
    others[best] = 0.0
    bounds = np.cumsum(others)
    if bounds[-1] <= 0:  # all courses are among the best
        bounds += np.arange(1, len(bounds) + 1)
    drawn = np.minimum(np.searchsorted(bounds, rng.random(draws - count) * bounds[-1], side="right"), len(bounds) - 1)
    expected = len(drawn) * others[drawn] / bounds[-1]
    of_drawn = np.where(expected > 0, np.log(np.maximum(expected, 1e-12)), NEVER)
    of_best = np.where(np.isfinite(scores[best]), 0.0, NEVER)
    return np.concatenate([best, drawn]).astype(np.int32), np.concatenate([of_best, of_drawn])


class Reservoir:
    """An even sample of all examples seen, of bounded size (Vitter, 1985: algorithm R).

    Args:
        size: Most examples held.
    """

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._examples: list[Example] = []

    def __len__(self) -> int:
        return len(self._examples)

    def add(self, new: Example, rng: Generator) -> None:
        """Takes an example in, or not, by chance."""
        self._seen += 1
        if len(self._examples) < self._size:
            self._examples.append(new)
            return
        place = int(rng.integers(self._seen))
        if place < self._size:
            self._examples[place] = new

    def draw(self, count: int, rng: Generator) -> list[Example]:
        """Draws examples, one as likely as another, with replacement; none from an empty reservoir."""
        if not self._examples:
            return []
        return [self._examples[place] for place in rng.integers(len(self._examples), size=count)]

    def move(self, now: Rows) -> None:
        """Goes over to other course rows; an example of a course that went goes with it.

        Args:
            now: The row of each course from here on; −1 for one that went, which counts in no example any more.
        """
        self._examples = [_moved(each, now) for each in self._examples if now[each.columns["courses"][0]] >= 0]

    def forget(self, user: str) -> None:
        """Drops a learner's examples."""
        self._examples = [each for each in self._examples if each.user != user]

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        columns = {
            name: np.stack([each.columns[name] for each in self._examples]) for name in _FIELDS if self._examples
        }
        return {"seen": self._seen, "users": [each.user for each in self._examples], "columns": columns}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self._seen, columns = state["seen"], state["columns"]
        self._examples = [
            Example(user, {name: columns[name][place] for name in _FIELDS}) for place, user in enumerate(state["users"])
        ]


def _moved(one: Example, now: Rows) -> Example:
    rows = now[one.columns["courses"]]
    log_q = np.where(rows < 0, np.float32(NEVER), one.columns["log_q"])
    return Example(one.user, {**one.columns, "courses": np.maximum(rows, 0), "log_q": log_q})


def batch(examples: Sequence[Example], size: int) -> Sequence[Any]:
    """The columns of at least one example, padded to `size` with copies of the first that weigh nothing.

    As `recsys.model.increment_training.Examples` has them.
    """
    padded = [*examples, *([examples[0]] * (size - len(examples)))]
    weight = (np.arange(size) < len(examples)).astype(np.float32)
    return [*(np.stack([each.columns[name] for each in padded]) for name in _FIELDS), weight]
