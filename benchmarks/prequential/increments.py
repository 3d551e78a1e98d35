"""The models that `recsys finetune` would have published while a replayed history went on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.log_blocks import BLOCK, blocks
from benchmarks.prequential.state import History
from recsys.model.bundle import Bundle, Draft, load_bundle, write_bundle
from recsys.model.scorer import Scorer
from recsys.settings import load_settings
from stream.finetuning.blocks import Block
from stream.finetuning.gate import GateRules, Outcome
from stream.finetuning.trainer import Trainer
from stream.finetuning.training_process import TrainerRules, make_trainer

KEPT_MS = 2 * 86_400_000
"""How far behind the newest time a model may still be asked for."""


class Published(NamedTuple):
    """A model that was published.

    Attributes:
        at_ms: From when on it is in use; ms since 1970 UTC.
        scorer: It.
    """

    at_ms: int
    scorer: Scorer


class Increments:
    """Replays the fine-tuner beside a history: what it had published at a time.

    Args:
        parent: The model of the events before the cut.
        history: All events.
        cut: The place of the first event that the parent has not seen.
        count: How often the gate judges between the cut and the end, each time after as many events.
        folder: For bundles and checkpoints.

    Attributes:
        verdicts: What the gate said so far.
    """

    def __init__(self, parent: Path, history: History, cut: int, *, count: int, folder: Path) -> None:
        self._blocks = blocks(history.events)
        self._models = folder / "models"
        bundle = write_bundle(self._models, as_of_offset(load_bundle(parent), cut))
        self._trainer = _trainer(folder)
        self._trainer.follow(bundle)
        self._learned = 0
        self._every = max(1, (len(history.events) - cut) // BLOCK // count)
        self._next = self._learn_start(cut) + self._every
        self._published = [Published(0, Scorer.load(bundle))]
        self.verdicts: list[str] = []

    def at(self, until_ms: int, *, newest_ms: int) -> Scorer:
        """The model that contains nothing after a time and was published last.

        Args:
            until_ms: The time; ms since 1970 UTC.
            newest_ms: The latest time that is asked for now; it does not fall.
        """
        self._advance(newest_ms)
        return next(each.scorer for each in reversed(self._published) if each.at_ms <= until_ms)

    def _learn_start(self, cut: int) -> int:
        """The fine-tuner's start: it reads what the parent has seen. Returns the number of blocks."""
        while self._learned < len(self._blocks) and self._blocks[self._learned].place.stop <= cut:
            self._trainer.learn(self._blocks[self._learned])
            self._learned += 1
        return self._learned

    def _advance(self, until_ms: int) -> None:
        while self._learned < len(self._blocks) and _end_ms(self._blocks[self._learned]) <= until_ms:
            block = self._blocks[self._learned]
            self._trainer.learn(block)
            self._learned += 1
            if self._learned == self._next:
                self._next += self._every
                self._judge(_end_ms(block))
        while len(self._published) > 1 and self._published[1].at_ms <= until_ms - KEPT_MS:
            del self._published[0]

    def _judge(self, at_ms: int) -> None:
        proposal = self._trainer.propose(at_ms)
        self.verdicts.append(proposal.verdict.outcome.value)
        if proposal.verdict.outcome in {Outcome.PASSED, Outcome.ROLL_BACK} and proposal.bundle is not None:
            self._trainer.follow(proposal.bundle)
            self._published.append(Published(at_ms, Scorer.load(proposal.bundle)))


def _trainer(folder: Path) -> Trainer:
    (folder / "state").mkdir()
    settings = load_settings(
        finetune_dir=folder / "state", models_dir=folder / "models", finetune_checkpoint_blocks=1000
    )
    rules = TrainerRules.of(settings)
    # A verdict after each part: an operator's bound on how often is one of time, which a replay does not have.
    gate = GateRules(events=100, rejections=1000)
    return make_trainer(replace(rules, learning=replace(rules.learning, gate=gate)))


def _end_ms(block: Block) -> int:
    return block.records[-1].timestamp


def as_of_offset(bundle: Bundle, end: int) -> Draft:
    """A bundle as one that was trained from a topic of one partition, up to an offset."""
    data = msgspec.structs.replace(bundle.manifest.data, source="topic", offsets={"0": (0, end)})
    manifest = bundle.manifest
    return Draft(
        parent=None,
        created_at_ms=manifest.created_at_ms,
        data=data,
        settings=manifest.settings,
        engagement=manifest.engagement,
        metrics=manifest.metrics,
        users=bundle.users,
        courses=bundle.courses,
        arrays=bundle.arrays,
        documents=bundle.documents,
        blobs=bundle.blobs,
    )
