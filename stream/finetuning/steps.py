"""Training steps over examples: which are taken, which are undone, and what is replayed beside the new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from recsys.model.increment import Increment
from recsys.model.inputs import Floats
from stream.finetuning.examples import Example, Reservoir, batch
from stream.finetuning.losses import Losses
from stream.finetuning.moved_rows import MovedRows
from stream.finetuning.rules import LearningRules

Step = Callable[[Any, Sequence[Any]], tuple[Any, float]]
"""`(optimizer state, columns of a batch)` → `(state after, loss before)`."""

Start = Callable[[Increment], Any]
"""A fresh optimizer's state at an increment; it has fields `increment` and `squares`."""


class Steps:
    """An increment in training.

    Args:
        rules: How to learn.
        step: The training step.
        start: A fresh state of it.
        none: Where it begins.

    Attributes:
        learned: Examples of steps that were taken.
    """

    def __init__(self, rules: LearningRules, step: Step, start: Start, none: Increment) -> None:
        self._rules, self._step, self._start = rules, step, start
        self._state = start(none)
        self._reservoir = Reservoir(rules.reservoir)
        self._losses = Losses(rules.spike)
        self.learned = 0

    @property
    def increment(self) -> Increment:
        """As it is."""
        found: Increment = self._state.increment
        return found

    def take(self, fresh: Sequence[Example], published: Increment, rng: Generator) -> Counter[str]:
        """Learns from examples, in batches of one shape, half new and half drawn from the reservoir.

        Args:
            fresh: New examples.
            published: To go back to after too many steps in a row that must not be taken.
            rng: Draws.

        Returns:
            Steps by whether they were taken; `set_back` where the increment went back.
        """
        counts: Counter[str] = Counter()
        for at in range(0, len(fresh), self._rules.fresh):
            stopped = self._one(fresh[at : at + self._rules.fresh], rng)
            counts[f"stopped_{stopped}" if stopped else "steps"] += 1
            if self._losses.stops >= self._rules.stops:
                self.back_to(published)
                counts["set_back"] += 1
        return counts

    def _one(self, fresh: Sequence[Example], rng: Generator) -> str:
        """One step, taken only where it ends in numbers and its loss is no spike; else why it was not."""
        replayed = self._reservoir.draw(self._rules.fresh, rng)
        after, loss = self._step(self._state, batch([*fresh, *replayed], 2 * self._rules.fresh))
        finite = np.isfinite(loss) and after.increment.is_finite()
        if not finite or self._losses.is_spike(loss):
            self._losses.stops += 1
            return "spike" if finite else "not_finite"
        for each in fresh:
            self._reservoir.add(each, rng)
        self._state = after
        self._losses.taken(loss)
        self.learned += len(fresh)
        return ""

    def reweigh(self, weights: Floats) -> None:
        """Goes on with other weights of the ranker's inputs `(INPUTS,)`."""
        self._state = self._state._replace(increment=self.increment._replace(weights=weights))

    def back_to(self, increment: Increment) -> None:
        """Takes back what was learned since an increment."""
        self._state = self._start(increment)
        self._losses.reset()

    def move(self, moved: MovedRows) -> None:
        """Goes over to other courses behind the parent's own; those that came begin as the parent's."""
        fresh = self._start(moved.increment(self._state.increment))
        self._state = fresh._replace(squares=moved.increment(self._state.squares, fresh.squares))
        self._reservoir.move(moved.now)

    def forget(self, user: str) -> None:
        """Drops a learner's examples."""
        self._reservoir.forget(user)

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {
            "increment": tuple(self._state.increment),
            "squares": tuple(self._state.squares),
            "reservoir": self._reservoir.state(),
            "losses": self._losses.state(),
            "learned": self.learned,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        fresh = self._start(Increment(*state["increment"]))
        self._state = fresh._replace(squares=Increment(*state["squares"]))
        self._reservoir.restore(state["reservoir"])
        self._losses.restore(state["losses"])
        self.learned = state["learned"]
