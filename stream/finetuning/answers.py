"""What a trainer answers: values that go through the pipe of the training process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.finetuning.blocks import BlockId
from stream.finetuning.gate import Verdict


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the trainer stands.

    Attributes:
        parent: Version of the retrain that the line grows from.
        published: What it takes to be published.
        proposed: What it wrote and does not know to be published.
        positions: Partition → the offset to read from.
        repeated: Blocks that were begun after the checkpoint: they are learned first, in this order.
        frozen: Whether nothing is learned until a retrain.
    """

    parent: str
    published: str
    proposed: str | None
    positions: Mapping[int, int]
    repeated: Sequence[BlockId]
    frozen: bool


@dataclass(frozen=True, slots=True)
class Learned:
    """What a block gave.

    Attributes:
        counts: Records and steps by what became of them.
        ndcg: Prequential NDCG@10 since the last decision, of the increment and of what is published; None before any.
    """

    counts: Mapping[str, int]
    ndcg: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A verdict, and the bundle that was written where it passed."""

    verdict: Verdict
    bundle: Path | None = None
    version_before: str | None = None
