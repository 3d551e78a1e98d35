"""Which increments of a line are published, were before, and are on their way. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from recsys.model.increment import Increment
from recsys.model.links import ItemItem


class Variant(NamedTuple):
    """What ranks: the parent with an increment and item-item matrices."""

    increment: Increment
    item_item: ItemItem


class Lineage:
    """Versions with their increments.

    Args:
        parent: Version of the retrain, which is published at first.
        origin: The parent itself.

    Attributes:
        published: The version published last of this line.
        before: The version published before it, to which a roll-back goes; None where there is none.
        proposed: A version written and on its way to be published; None for none.
        of_published: What `published` is.
        of_before: That of `before`.
        rejections: In a row.
    """

    def __init__(self, parent: str, origin: Variant) -> None:
        self.published = parent
        self.before: str | None = None
        self.proposed: str | None = None
        self.of_published = self.of_before = self._of_proposed = origin
        self.rejections = 0

    def propose(self, version: str, variant: Variant) -> None:
        """It was written as a bundle, and is to be published."""
        self.proposed, self._of_proposed = version, variant

    def was_published(self) -> None:
        """What was proposed is published."""
        if self.proposed is None:
            raise ValueError("nothing was proposed")
        self.before, self.of_before = self.published, self.of_published
        self.published, self.of_published = self.proposed, self._of_proposed
        self.proposed, self.rejections = None, 0

    def was_dropped(self) -> None:
        """What was proposed is not published."""
        self.proposed = None

    def was_rolled_back(self) -> None:
        """What was published is no more; what was before it is."""
        if self.before is None:
            raise ValueError("nothing was published before")
        self.published, self.of_published = self.before, self.of_before
        self.before = None

    def move(self, of: Callable[[Variant], Variant]) -> None:
        """Goes over to other courses behind the parent's own; `of` gives a variant with them."""
        self.of_published, self.of_before, self._of_proposed = (
            of(each) for each in (self.of_published, self.of_before, self._of_proposed)
        )

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint; matrices that several share are in it once, those of the parent not at all."""
        variants = (self.of_published, self.of_before, self._of_proposed)
        return {
            "published": self.published,
            "before": self.before,
            "proposed": self.proposed,
            "rejections": self.rejections,
            "increments": [tuple(each.increment) for each in variants],
            "numbers": [each.item_item.number for each in variants],
            "item_item": [
                tuple(each) for each in {v.item_item.number: v.item_item for v in variants}.values() if each[0]
            ],
        }

    def restore(self, state: Mapping[str, Any], *others: ItemItem) -> None:
        """From the checkpoint.

        Args:
            state: What `state` gave.
            others: Matrices that are known without it; of equal number they are the very same.
        """
        self.published, self.before, self.proposed = state["published"], state["before"], state["proposed"]
        self.rejections = state["rejections"]
        known = {each.number: each for each in (*item_items(state["item_item"]), *others)}
        self.of_published, self.of_before, self._of_proposed = (
            Variant(Increment(*increment), known[number])
            for increment, number in zip(state["increments"], state["numbers"], strict=True)
        )


def item_items(state: Sequence[Any]) -> list[ItemItem]:
    """Matrices from the checkpoint."""
    return [ItemItem(number, tuple(ease), tuple(future)) for number, ease, future in state]
