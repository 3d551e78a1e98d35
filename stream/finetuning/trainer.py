"""The trainer: a line, its checkpoint and the order of its blocks, behind the few things that can be asked of it.

It runs in the training process and is called there from one thread. Nothing of what it is told is lost once it has
answered: a block is written down (`order`) before it is learned, and what cannot be learned again is in a checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys.catalog import Course
from recsys.errors import BundleError, FinetuningError
from recsys.model.bundle import Bundle, as_bundle, load_bundle, write_bundle
from recsys.record import RecordRules
from stream.finetuning.answers import Learned, Proposal, Standing
from stream.finetuning.blocks import Block, BlockId
from stream.finetuning.candidates import broken_arrays
from stream.finetuning.checkpoint import read_checkpoint, write_checkpoint
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.judging import draft_of, verdict_on
from stream.finetuning.learning import learn_block
from stream.finetuning.line import Line
from stream.finetuning.new_courses import OfferedCourses
from stream.finetuning.order import BlockOrder, Mark
from stream.finetuning.rules import LearningRules
from stream.finetuning.steps import Start, Step

FORMAT = 3
"""Of checkpoints."""


class Trainer:
    """Learns blocks and makes bundles.

    Args:
        folder: The fine-tuner's, for checkpoint and order.
        models_dir: Where bundles are.
        rules: How to learn.
        records: Rules of records.
        checkpoint_blocks: Blocks between two checkpoints.
        step: The training step.
        start: A fresh state of the training step.
    """

    def __init__(
        self,
        folder: Path,
        models_dir: Path,
        rules: LearningRules,
        records: RecordRules,
        *,
        checkpoint_blocks: int,
        step: Step,
        start: Start,
    ) -> None:
        self._folder, self._models_dir, self._rules, self._records = folder, models_dir, rules, records
        self._checkpoint_blocks, self._step, self._start = checkpoint_blocks, step, start
        self._order = BlockOrder(folder)
        self._number, self._since = 0, 0
        self._line: Line | None = None
        self._offered = OfferedCourses(rules.new_courses.offered)
        self._rows = Counter[str]()  # that came and went since the last block that was told of

    @property
    def line(self) -> Line:
        """The line.

        Raises:
            BundleError: Before `follow`.
        """
        if self._line is None:
            raise BundleError("no model was followed yet, so there is nothing to fine-tune")
        return self._line

    def follow(self, published: Path) -> Standing:
        """Begins with, or goes over to, what is published, unless the line already knows it as its own.

        Args:
            published: The bundle's folder.

        Raises:
            BundleError: It cannot be loaded, or is a baseline.
            FinetuningError: The checkpoint was changed, or is of another release.
        """
        version = published.name
        if self._line is None:
            self._resume(version)
        line = self._line
        if line is not None and version == line.lineage.proposed:
            line.was_published()
            if self._order.since(self._number):
                self._checkpoint()
            else:
                self._order.mark(Mark.PUBLISHED)  # nothing came between it and the checkpoint that proposed it
        elif line is not None and version == line.lineage.before:
            line.was_rolled_back()  # by us before a crash, or by an operator
            self._checkpoint()
        elif line is None or version != line.lineage.published:
            self._begin(load_bundle(published))
        line = self.line
        return Standing(
            parent=line.parent.manifest.version,
            published=line.lineage.published,
            proposed=line.lineage.proposed,
            positions=dict(line.positions),
            repeated=self._to_repeat(),
            frozen=line.frozen,
        )

    def _resume(self, version: str) -> None:
        state = self._read()
        if state is None:
            return
        self._number = state["number"]
        self._order.go_on(self._number)
        known = [state["line"]["lineage"][name] for name in ("published", "proposed", "before")]
        folder = self._models_dir / state["line"]["parent"]
        if version in known and folder.is_dir():
            line = self._new(load_bundle(folder))
            line.restore(state["line"])
            self._line = line
            self._repeat_marks()

    def _begin(self, parent: Bundle) -> None:
        """A new line; it goes on from the learners and offsets of the one before, in memory or in the checkpoint."""
        before = self._line.state() if self._line is not None else (self._read() or {}).get("line")
        line = self._new(parent)
        if before is not None:
            line.go_on_from(before)
        self._line = line
        self._checkpoint()

    def _new(self, parent: Bundle) -> Line:
        return Line(parent, self._rules, self._records, step=self._step, start=self._start)

    def offer(self, changes: Sequence[tuple[str, Course | None]]) -> None:
        """Tells what changed in the catalogue; it is taken over with the next checkpoint between blocks.

        Args:
            changes: Course id and its newest state; None is one that is retired.
        """
        self._offered.add(changes)

    def learn(self, block: Block) -> Learned:
        """Learns a block."""
        line, left = self.line, self._to_repeat()
        repeats = block.place in left
        for _ in range(left.index(block.place) if repeats else len(left)):
            self._went_on()  # past what retention deleted
        if not repeats:
            self._order.append(block.place)
        counts = learn_block(line, block)
        self._went_on()
        if self._since >= self._checkpoint_blocks and not self._to_repeat():
            self._checkpoint()
        counts += self._rows
        self._rows.clear()
        trial = line.evidence.newest
        ndcg = None if trial.model.mean is None or trial.other.mean is None else (trial.model.mean, trial.other.mean)
        return Learned(dict(counts), ndcg)

    def propose(self, at_ms: int) -> Proposal:
        """Judges the increment; where it passes, writes it as a bundle, which the caller publishes.

        Args:
            at_ms: Now, ms since 1970 UTC.
        """
        line = self.line
        if self._to_repeat():
            return Proposal(Verdict(Outcome.WAITING, "what was learned before the restart is learned again first"))
        if line.lineage.proposed is not None:
            line.lineage.was_dropped()  # whoever had it died before it was published
        predicted = line.evidence.newest.events
        verdict = verdict_on(line)
        if verdict.outcome is Outcome.ROLL_BACK:
            self._checkpoint()  # a restart that finds the pointer moved takes back what was learned until here
            return Proposal(verdict, self._models_dir / (line.lineage.before or ""), line.lineage.published)
        if verdict.outcome is Outcome.PASSED:
            return self._proposal(verdict, at_ms)
        if verdict.outcome is Outcome.REJECTED or line.new_courses.would_change(self._offered, line.last_ms):
            self._checkpoint()
        elif line.evidence.newest.events != predicted:
            # A block learned again after a restart must find the evidence that this verdict left.
            self._order.mark(Mark.DECIDED)
        return Proposal(verdict)

    def _proposal(self, verdict: Verdict, at_ms: int) -> Proposal:
        """Writes what passed; new courses come after it, with the checkpoint."""
        line = self.line
        draft = draft_of(line, verdict, at_ms=at_ms)
        broken = broken_arrays(as_bundle(draft))
        if broken:
            line.reject()
            self._checkpoint()
            return Proposal(Verdict(Outcome.REJECTED, f"a broken candidate: {broken}", verdict.figures))
        bundle = write_bundle(self._models_dir, draft)
        line.propose(bundle.name)
        self._checkpoint()
        return Proposal(verdict, bundle, line.lineage.published)

    def dropped(self) -> None:
        """What was proposed is not published: somebody else published meanwhile."""
        self.line.lineage.was_dropped()
        self._checkpoint()

    def _to_repeat(self) -> list[BlockId]:
        """Blocks begun before a restart that are not learned again yet."""
        return self._order.since(self._number)[self._since :]

    def _went_on(self) -> None:
        self._since += 1
        self._repeat_marks()

    def _repeat_marks(self) -> None:
        """What verdicts did before a restart after the blocks until now."""
        for mark in self._order.marks_after(self._number, self._since):
            if mark is Mark.DECIDED:
                self.line.evidence.decided()
            else:
                self.line.was_published()

    def _read(self) -> Mapping[str, Any] | None:
        state: Mapping[str, Any] | None = read_checkpoint(self._folder)
        if state is not None and state.get("format") != FORMAT:
            raise FinetuningError(
                f"expected a checkpoint of format {FORMAT} in {self._folder}, received one of another release; "
                "move the folder away to begin anew"
            )
        return state

    def _checkpoint(self) -> None:
        """Writes what is known between two blocks, and with it what the catalogue says by now.

        Each one takes that over: verdicts may write them more often than so many blocks come.
        """
        self._rows += self.line.take_over(self._offered)
        write_checkpoint(self._folder, {"format": FORMAT, "number": self._number + 1, "line": self.line.state()})
        self._number += 1
        self._since = 0
        self._order.begin(self._number)
