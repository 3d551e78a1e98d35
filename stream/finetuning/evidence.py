"""What the gate decides from: each label predicted before it is learned, an old slice, and a sample of lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.random import Generator

from recsys.model.increment import Situation
from stream.finetuning.gate import Trial, agreement_of
from stream.finetuning.lineage import Lineage, Variant
from stream.finetuning.moments import Moment, OldSlice, packed, unpacked
from stream.finetuning.rules import LearningRules
from stream.finetuning.shadow import Top
from stream.finetuning.situations import Situations


class Evidence:
    """Of one line.

    Args:
        rules: How to learn.
        situations: Of the parent.

    Attributes:
        newest: The increment beside what is published, since the last decision.
        guard: What is published beside what was before, since it was published.
    """

    def __init__(self, rules: LearningRules, situations: Situations) -> None:
        self._situations = situations
        self._old = OldSlice(rules.held)
        self._sample: deque[Moment] = deque(maxlen=rules.sample)
        self.newest, self.guard = Trial(), Trial()

    def predicted(
        self, moment: Moment, situations: Mapping[int, Situation], variant: Variant, lineage: Lineage, rng: Generator
    ) -> None:
        """A label came: how far up did its course stand, by what is in training and by what is published?

        Args:
            moment: The learner just before it.
            situations: Its situation with each item-item matrices of `variant` and of `lineage`, by their number.
            variant: In training.
            lineage: What is published.
            rng: Draws.
        """

        def ndcg(of: Variant) -> float:
            return self._situations.ndcg(situations[of.item_item.number], moment.course, of.increment)

        by_published = ndcg(lineage.of_published)
        self.newest = self.newest.added(ndcg(variant), by_published, moment.at_ms)
        if lineage.before is not None:
            self.guard = self.guard.added(by_published, ndcg(lineage.of_before), moment.at_ms)
        self._sample.append(moment)
        self._old.add(lambda: moment, rng, new=True)

    def seen_by_parent(self, moment: Callable[[], Moment], rng: Generator) -> None:
        """A label came that the parent has learned."""
        self._old.add(moment, rng, new=False)

    def agreement(self, candidate: Top, published: Variant) -> float:
        """agreement@10 of a candidate with what is published, over the latest learners as they were at their label."""
        sample = list(self._sample)
        found = zip(sample, self._situations.of_all(sample, published.item_item), strict=True)
        return agreement_of(
            (candidate(moment), self._situations.top(situation, published.increment))
            for moment, situation in found
            if situation is not None
        )

    @property
    def old(self) -> list[Moment]:
        """The old slice: labels that the parent has learned."""
        return list(self._old)

    def old_slice(self, variant: Variant) -> tuple[float, float] | None:
        """NDCG@10 on the old slice by a variant, and by the parent with the same matrices; None without an old slice.

        Matrices are facts of the stream, and any that know later likes rank old ones lower. Both with the course
        features of the parent's end: those of now would make any old label look forgotten.
        """
        old, none = self.old, self._situations.origin.increment
        pairs = [
            (
                self._situations.ndcg(each, moment.course, variant.increment),
                self._situations.ndcg(each, moment.course, none),
            )
            for moment, each in zip(old, self._situations.of_all(old, variant.item_item, frozen=True), strict=True)
            if each is not None
        ]
        if not pairs:
            return None
        mine, parents = np.mean(pairs, axis=0).tolist()
        return mine, parents

    def decided(self) -> None:
        """The increment went back or was published: what was predicted by it says nothing of the next one."""
        self.newest = Trial()

    def published(self) -> None:
        """Another version is published."""
        self.newest, self.guard = Trial(), Trial()

    def forget(self, user: str) -> None:
        """Drops a learner's moments."""
        self._old.forget(user)
        kept: Sequence[Moment] = [each for each in self._sample if each.user != user]
        self._sample.clear()
        self._sample.extend(kept)

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {
            "old": self._old.state(),
            "sample": packed(list(self._sample)),
            "newest": msgspec.to_builtins(self.newest),
            "guard": msgspec.to_builtins(self.guard),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent."""
        self._old.restore(state["old"])
        self._sample.clear()
        self._sample.extend(unpacked(state["sample"]))
        self.newest, self.guard = (msgspec.convert(state[name], Trial) for name in ("newest", "guard"))

    def go_on_from(self, state: Mapping[str, Any], rng: Generator) -> None:
        """From the checkpoint of a line with another parent: what this one has seen is its old slice."""
        self._old.restore(state["old"])
        self._old.of_parent(self._situations.is_new_moment, rng)
