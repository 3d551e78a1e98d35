"""A line of increments: all that grows from one retrain. No clock, no I/O; the training step is given.

The state is a function of the parent bundle and the blocks learned in their order (`learning`). It can be written down
and restored, go on from the state of a line with another parent, and go over to other courses; what is published of it
is decided elsewhere (`judging`).

A learner needs no row of their own, because the user tower pools their history. A course unknown to the parent is
placed by its text, and has rows of its own from when it is admitted (`new_courses`); which have them changes between
two blocks, when `take_over` is called, and what was learned by row moves along.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from recsys.model.bundle import Bundle
from recsys.model.increment import Increment
from recsys.model.placed_courses import BundleTexts
from recsys.record import RecordRules
from stream.finetuning.course_activity import CourseActivity
from stream.finetuning.evidence import Evidence
from stream.finetuning.examples import Frequencies
from stream.finetuning.learners import Learners
from stream.finetuning.lineage import Lineage, Variant
from stream.finetuning.matrices import Matrices
from stream.finetuning.moved_rows import MovedRows
from stream.finetuning.new_courses import NewCourses, OfferedCourses
from stream.finetuning.rules import LearningRules
from stream.finetuning.situations import Situations
from stream.finetuning.snapshots import Snapshots
from stream.finetuning.steps import Start, Step, Steps


class Line:
    """Increments that grow from one bundle.

    Args:
        parent: A verified bundle of the hybrid model.
        rules: How to learn.
        records: Rules of records.
        step: The training step.
        start: A fresh state of the training step at an increment.

    Attributes:
        situations: What the parent knows.
        lineage: What is published of this line.
        evidence: What the gate decides from.
        learners: Who did what.
        rules: How to learn.
        rng: Of every draw.
        activity: The course features of now.
        matrices: The item-item matrices in training.
        steps: What steps learned.
        snapshots: What the ranker's weights are estimated from.
        frequencies: Of the courses.
        new_courses: Courses that came after the parent.
        last_ms: Latest event time, ms since 1970 UTC.
        positions: Partition → offset after the last block learned.

    Raises:
        BundleError: The parent is none that the ranker ranks: a baseline has nothing to fine-tune.
    """

    def __init__(self, parent: Bundle, rules: LearningRules, records: RecordRules, *, step: Step, start: Start) -> None:
        self.parent, self.rules = parent, rules
        self.situations = Situations(parent, rank=rules.rank)
        origin, manifest = self.situations.origin, parent.manifest
        self.learners = Learners(records, limit=rules.learners, max_courses=rules.max_courses)
        self.positions: dict[int, int] = {}
        self.last_ms = manifest.data.last_ms
        self.lineage = Lineage(manifest.version, origin)
        self.evidence = Evidence(rules, self.situations)
        self.rng = np.random.default_rng(manifest.settings.seed)
        self._texts = BundleTexts(parent)
        places = rules.new_courses if self._texts.can_place else replace(rules.new_courses, rows=0)
        self.new_courses = NewCourses(places, self.situations.row_of.keys())
        self.frequencies = Frequencies(len(parent.courses), rules.frequency_half_life)
        self.activity = CourseActivity(parent.arrays, self.situations.row_of, records)
        self.matrices = Matrices(
            rules,
            origin.item_item,
            parent.arrays,
            self.situations.row_of,
            l2=manifest.settings.item_item_l2,
            per_row=manifest.settings.neighbours,
            likes=self.activity.likes(),
        )
        self.steps = Steps(rules, step, start, origin.increment)
        learners = min(rules.snapshot_learners, rules.snapshot_cells // len(parent.courses))
        self.snapshots = Snapshots(rules.snapshots, learners)

    @property
    def increment(self) -> Increment:
        """What steps learned, as it is."""
        return self.steps.increment

    @property
    def variant(self) -> Variant:
        """What is in training, as it is."""
        return Variant(self.increment, self.matrices.current)

    @property
    def learned(self) -> int:
        """Examples learned from."""
        return self.steps.learned

    @property
    def frozen(self) -> bool:
        """Whether it was rejected so often that nothing is learned any more."""
        return self.lineage.rejections >= self.rules.gate.rejections

    def forget(self, user: str) -> set[str]:
        """Drops what is kept of an erased learner beside records; returns their ids, of which some may be merged."""
        names = self.learners.names(user)
        for name in names:
            self.steps.forget(name)
            self.new_courses.forget(name)
            self.evidence.forget(name)
            self.snapshots.forget(name)
        return names

    def take_over(self, offered: OfferedCourses) -> Counter[str]:
        """Lets courses that came after the parent have rows, and takes them from those that went.

        Not a part of learning a block: a checkpoint must follow before the next one, because a replay of blocks does
        not know what the catalogue said.

        Returns:
            Rows that came and went.
        """
        before = set(self.new_courses.admitted)
        if not self.new_courses.take_over(offered, self.last_ms):
            return Counter()
        self._place()
        after = set(self.new_courses.admitted)
        return Counter(rows_admitted=len(after - before), rows_expired=len(before - after))

    def _place(self) -> None:
        """Moves everything that is by row to the parent's courses and those admitted."""
        ids = [course.course_id for course in self.situations.courses]
        new_courses, situations = self.new_courses, self.situations
        bundle = self._texts.with_catalogue(new_courses.admitted, new_courses.retired)
        situations.go_over(bundle)
        moved = MovedRows(ids, [course.course_id for course in bundle.courses])
        came = new_courses.admitted.keys() - set(ids)
        records = self.learners.records_of([course for course in new_courses.admitted if course in came])
        self.activity.move(moved, bundle.arrays, situations.row_of, records)
        item_item = self.matrices.move(moved, situations.origin.item_item, bundle.arrays, situations.row_of)
        self.lineage.move(lambda each: Variant(moved.increment(each.increment), item_item(each.item_item)))
        self.steps.move(moved)
        self.frequencies.move(moved)
        self.snapshots.move(moved)
        situations.now(self.activity.features(self.last_ms))

    def reject(self) -> None:
        """The increment is no good: what was learned since the last publication is taken back."""
        self.back_to_published()
        self.lineage.rejections += 1

    def back_to_published(self) -> None:
        """What was learned since the last publication is taken back."""
        self.steps.back_to(self.lineage.of_published.increment)
        self.matrices.back_to(self.lineage.of_published.item_item)
        self.evidence.decided()

    def propose(self, version: str) -> None:
        """The increment as it is was written as a bundle, and is to be published."""
        self.lineage.propose(version, self.variant)

    def was_published(self) -> None:
        """What was proposed is published."""
        self.lineage.was_published()
        self.evidence.published()

    def was_rolled_back(self) -> None:
        """What was published is no more; what was before it is. It counts as a rejection."""
        self.lineage.was_rolled_back()
        self.evidence.published()
        self.reject()

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "parent": self.parent.manifest.version,
            "positions": self.positions,
            "last_ms": self.last_ms,
            "rng": json.dumps(self.rng.bit_generator.state),
            "learners": self.learners.state(),
            "lineage": self.lineage.state(),
            "evidence": self.evidence.state(),
            "steps": self.steps.state(),
            "frequencies": self.frequencies.state(),
            "activity": self.activity.state(),
            "matrices": self.matrices.state(),
            "snapshots": self.snapshots.state(),
            "new_courses": self.new_courses.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent."""
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.learners.restore(state["learners"])
        self.new_courses.restore(state["new_courses"])
        self._place_new_courses()
        self.matrices.restore(state["matrices"])
        self.lineage.restore(state["lineage"], self.situations.origin.item_item, self.matrices.current)
        self.evidence.restore(state["evidence"])
        self.steps.restore(state["steps"])
        self.frequencies.restore(state["frequencies"])
        self.activity.restore(state["activity"])
        self.snapshots.restore(state.get("snapshots", ()))  # a checkpoint of before has none
        self.positions, self.last_ms = dict(state["positions"]), state["last_ms"]
        self.situations.now(self.activity.features(self.last_ms))

    def _place_new_courses(self) -> None:
        if self.new_courses.admitted or self.new_courses.retired:
            self._place()

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """From a line with another parent: learners, offsets, and what the new parent has seen as its old slice."""
        self.learners.restore(state["learners"])
        self.evidence.go_on_from(state["evidence"], self.rng)
        self.positions = dict(state["positions"])
        self.last_ms = max(self.last_ms, state["last_ms"])  # else a course admitted now was liked at the retrain's end
        self.new_courses.go_on_from(state["new_courses"])
        self._place_new_courses()
