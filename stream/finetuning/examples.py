"""Training examples of an increment: drawn courses with their probabilities, a reservoir of earlier ones. NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recsys.model.increment import IncrementModel, Situation
from recsys.model.inputs import Doubles, Floats, Rows

NEVER = 1e9
"""In the place of a log-probability: takes the course out of the softmax."""

_UNIFORM_SHARE = 0.5
_FIELDS = ("projected", "gain", "courses", "base", "log_q")


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
    bounds = np.cumsum(probabilities)
    drawn = np.minimum(np.searchsorted(bounds, rng.random(draws) * bounds[-1], side="right"), len(bounds) - 1)
    rows = np.concatenate([[positive], drawn]).astype(np.int32)
    log_q = np.log(np.maximum(draws * probabilities[rows], 1e-12))
    excluded = np.isin(rows, situation.touched) | (rows == positive)
    excluded[0] = False
    log_q[excluded] = NEVER
    raw = model.parent_scores(situation)[rows]
    columns = {
        "projected": situation.projected,
        "gain": np.float32(model.gain(situation)),
        "courses": rows,
        "base": raw.astype(np.float32),
        "log_q": log_q.astype(np.float32),
    }
    return Example(user, columns)


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

    def remove(self, examples: Sequence[Example]) -> None:
        """Takes examples out again."""
        gone = set(map(id, examples))
        self._examples = [each for each in self._examples if id(each) not in gone]

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


def batch(examples: Sequence[Example], size: int) -> tuple[Floats, Floats, Rows, Floats, Floats, Floats]:
    """The columns of at least one example, padded to `size` with copies of the first that weigh nothing."""
    padded = [*examples, *([examples[0]] * (size - len(examples)))]
    columns = [np.stack([each.columns[name] for each in padded]) for name in _FIELDS]
    weight = (np.arange(size) < len(examples)).astype(np.float32)
    projected, gain, courses, base, log_q = columns
    return projected, gain, courses, base, log_q, weight
