"""A line of increments: what grows from one retrain, block by block. No clock, no I/O; the training step is given.

The state is a function of the parent bundle and the blocks learned in their order. What a block does: events are
decoded and folded (`learners`); each first touch of a course by a learner with a history is predicted (`evidence`),
then becomes an example; once the whole block is predicted, its examples are learned (`steps`), the course features are
brought up to date (`course_activity`) and, now and then, the item-item matrices (`matrices`). So nothing of a block is
known when its events are predicted but what the learner did before.

A learner needs no row of their own, because the user tower pools their history. A course unknown to the parent is
placed by its text, and has rows of its own from when it is admitted (`new_courses`); which have them changes between
two blocks, when `take_over` is called, and what was learned by row moves along.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recsys.errors import InvalidEvent
from recsys.events import Interaction, decode
from recsys.handed_on import is_handed_on
from recsys.model.bundle import Bundle, Draft
from recsys.model.increment import Increment
from recsys.model.mixed_affinity import decayed
from recsys.model.placed_courses import BundleTexts
from recsys.record import RecordRules
from stream.finetuning.blocks import Block, LogRecord
from stream.finetuning.candidates import candidate
from stream.finetuning.course_activity import CourseActivity
from stream.finetuning.evidence import Evidence
from stream.finetuning.examples import Example, Frequencies, example
from stream.finetuning.gate import Outcome, Verdict, judge
from stream.finetuning.learners import Change, Learners
from stream.finetuning.lineage import Lineage, Variant
from stream.finetuning.matrices import Matrices
from stream.finetuning.moments import Moment
from stream.finetuning.moved_rows import MovedRows
from stream.finetuning.new_courses import NewCourses, OfferedCourses
from stream.finetuning.rules import LABELS, LearningRules
from stream.finetuning.shadow import as_in_use
from stream.finetuning.situations import Situations
from stream.finetuning.steps import Start, Step, Steps


@dataclass(slots=True)
class _Learning:
    """What a block has given so far."""

    counts: Counter[str] = field(default_factory=Counter)
    of_learner: Counter[str] = field(default_factory=Counter)
    of_course: Counter[str] = field(default_factory=Counter)
    fresh: list[Example] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


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
        positions: Partition → offset after the last block learned.

    Raises:
        BundleError: The parent is none that the ranker ranks: a baseline has nothing to fine-tune.
    """

    def __init__(self, parent: Bundle, rules: LearningRules, records: RecordRules, *, step: Step, start: Start) -> None:
        self.parent, self._rules = parent, rules
        self.situations = Situations(parent, rank=rules.rank)
        origin, manifest = self.situations.origin, parent.manifest
        self.learners = Learners(records, limit=rules.learners, max_courses=rules.max_courses)
        self.positions: dict[int, int] = {}
        self.last_ms = manifest.data.last_ms
        self.lineage = Lineage(manifest.version, origin)
        self.evidence = Evidence(rules, self.situations)
        self._rng = np.random.default_rng(manifest.settings.seed)
        self._texts = BundleTexts(parent)
        places = rules.new_courses if self._texts.can_place else replace(rules.new_courses, rows=0)
        self._new_courses = NewCourses(places, self.situations.row_of.keys())
        self._frequencies = Frequencies(len(parent.courses), rules.frequency_half_life)
        self._activity = CourseActivity(parent.arrays, self.situations.row_of, records)
        self._matrices = Matrices(
            rules,
            origin.item_item,
            parent.arrays,
            self.situations.row_of,
            l2=manifest.settings.item_item_l2,
            per_row=manifest.settings.neighbours,
            likes=self._activity.likes(),
        )
        self._steps = Steps(rules, step, start, origin.increment)

    @property
    def increment(self) -> Increment:
        """What steps learned, as it is."""
        return self._steps.increment

    @property
    def variant(self) -> Variant:
        """What is in training, as it is."""
        return Variant(self.increment, self._matrices.current)

    @property
    def learned(self) -> int:
        """Examples learned from."""
        return self._steps.learned

    @property
    def frozen(self) -> bool:
        """Whether it was rejected so often that nothing is learned any more."""
        return self.lineage.rejections >= self._rules.gate.rejections

    def learn(self, block: Block) -> Counter[str]:
        """Folds and learns a block.

        Returns:
            Records by what became of them, and steps by whether they were taken.
        """
        block_of = _Learning()
        for record in block.records:
            event = _event(record)
            outcome = "passed_over" if event is None else self._take(event, block.place.partition, record, block_of)
            block_of.counts[outcome] += 1
        counts = block_of.counts
        counts += self._steps.take(block_of.fresh, self.lineage.of_published.increment, self._rng)
        if counts["set_back"]:
            self._back_to_published()
        if block_of.changes:
            self._activity.add(block_of.changes)
            done = self._matrices.refresh(self.learners, self._activity.likes(), self.last_ms)
            if done:
                counts[done] += 1
        self.situations.now(self._activity.features(self.last_ms))
        self.positions[block.place.partition] = block.place.stop
        return counts

    def _take(self, event: Interaction, partition: int, record: LogRecord, block: _Learning) -> str:
        """Predicts and folds one event; what became of it."""
        user = self.learners.owner(event.user_id)
        new = self.situations.is_new(partition, record.offset, event.timestamp)
        folded = self.learners.apply(event)
        self.last_ms = max(self.last_ms, event.timestamp)
        touch = folded.touch
        if new and not (touch and touch.bot):
            block.changes += folded.changes
        if touch is None:
            if event.type == "erase":
                for name in self.learners.names(user):
                    self._steps.forget(name)
                    self._new_courses.forget(name)
                    self.evidence.forget(name)
            return "control"
        if touch.bot:
            return "bot"
        if new and touch.liked and event.type in LABELS:
            self._new_courses.saw(event.course_id, touch.user, event.timestamp)
        is_label = event.type in LABELS and touch.first and touch.liked and touch.history
        if not (is_label and self.situations.is_offered(event.course_id)):
            return "folded"
        if not new:
            self.evidence.seen_by_parent(lambda: self._moment(user, event, partition, record.offset), self._rng)
            return "seen_by_parent"
        return self._unless_capped(block, user, event.course_id) or self._label(
            self._moment(user, event, partition, record.offset), block
        )

    def _unless_capped(self, block: _Learning, user: str, course_id: str) -> str:
        """Why a label is not learned from; "" where it is."""
        rules = self._rules
        if self.frozen:
            return "frozen"
        if block.of_learner[user] >= rules.of_a_learner or block.of_course[course_id] >= rules.of_a_course:
            return "capped"
        return "over_budget" if len(block.fresh) >= rules.of_a_block else ""

    def _label(self, moment: Moment, block: _Learning) -> str:
        """Predicts a label and makes its example; nothing where its learner has no history to predict from."""
        rules, variant = self._rules, self.variant
        situation = self.situations.of(moment, variant.item_item)
        if situation is None:
            return "folded"
        block.of_learner[moment.user] += 1
        block.of_course[moment.course] += 1
        self.evidence.predicted(moment, situation, variant, self.lineage, self._rng)
        row = self.situations.row_of[moment.course]
        made = example(
            self.situations.model(variant.item_item),
            situation,
            user=moment.user,
            positive=row,
            probabilities=self._frequencies.probabilities(self.situations.offered),
            draws=rules.draws,
            rng=self._rng,
        )
        self._frequencies.add(row)
        block.fresh.append(made)
        return "learned"

    def _moment(self, user: str, event: Interaction, partition: int, offset: int) -> Moment:
        """The learner just before a first touch: all that they have but the course of this one."""
        engagement = dict(self.learners.engagement(user))
        engagement.pop(event.course_id, None)
        half_life_days = self.parent.manifest.engagement.half_life_days
        sums = np.array(list(engagement.values()), np.float64)
        now = decayed(sums, at_ms=event.timestamp, half_life_days=half_life_days)
        return Moment(user, list(engagement), now, event.course_id, partition, offset, event.timestamp)

    def take_over(self, offered: OfferedCourses) -> Counter[str]:
        """Lets courses that came after the parent have rows, and takes them from those that went.

        Not a part of learning a block: a checkpoint must follow before the next one, because a replay of blocks does
        not know what the catalogue said.

        Returns:
            Rows that came and went.
        """
        before = set(self._new_courses.admitted)
        if not self._new_courses.take_over(offered, self.last_ms):
            return Counter()
        self._place()
        after = set(self._new_courses.admitted)
        return Counter(rows_admitted=len(after - before), rows_expired=len(before - after))

    def _place(self) -> None:
        """Moves everything that is by row to the parent's courses and those admitted."""
        ids = [course.course_id for course in self.situations.courses]
        new_courses, situations = self._new_courses, self.situations
        bundle = self._texts.with_catalogue(new_courses.admitted, new_courses.retired)
        situations.go_over(bundle)
        moved = MovedRows(ids, [course.course_id for course in bundle.courses])
        came = new_courses.admitted.keys() - set(ids)
        records = self.learners.records_of([course for course in new_courses.admitted if course in came])
        self._activity.move(moved, bundle.arrays, situations.row_of, records)
        item_item = self._matrices.move(moved, situations.origin.item_item, bundle.arrays, situations.row_of)
        self.lineage.move(lambda each: Variant(moved.increment(each.increment), item_item(each.item_item)))
        self._steps.move(moved)
        self._frequencies.move(moved)
        situations.now(self._activity.features(self.last_ms))

    def judge(self) -> Verdict:
        """The verdict on the increment as it is; one that is rejected is gone with it."""
        if self.frozen:
            times = self.lineage.rejections
            return Verdict(
                Outcome.FROZEN, f"rejected {times} times in a row: nothing is learned until a retrain is published"
            )
        gate, evidence, published = self._rules.gate, self.evidence, self.lineage.of_published
        verdict = judge(
            gate,
            evidence.newest,
            evidence.guard,
            finite=self.increment.is_finite(),
            agreement=lambda: evidence.agreement(as_in_use(self._candidate()), published),
            old=lambda: evidence.old_slice(self.variant),
        )
        newest = evidence.newest
        speaks_for_it = (newest.difference.mean or 0.0) >= 0 and newest.events < gate.evidence * gate.events
        undecided = verdict.outcome in {Outcome.WAITING, Outcome.UNCHANGED}
        if undecided and newest.events >= gate.events and not speaks_for_it:
            evidence.decided()  # it may be better by now than it was on average, or worse
        if verdict.outcome is Outcome.REJECTED:
            self.reject()
        return verdict

    def reject(self) -> None:
        """The increment is no good: what was learned since the last publication is taken back."""
        self._back_to_published()
        self.lineage.rejections += 1

    def _back_to_published(self) -> None:
        self._steps.back_to(self.lineage.of_published.increment)
        self._matrices.back_to(self.lineage.of_published.item_item)
        self.evidence.decided()

    def draft(self, verdict: Verdict, *, at_ms: int) -> Draft:
        """The increment as a bundle."""
        return candidate(
            self.parent,
            verdict,
            courses=self.situations.courses,
            arrays=self._candidate().arrays,
            positions=self.positions,
            learned=self.learned,
            last_ms=self.last_ms,
            replaces=self.lineage.published,
            at_ms=at_ms,
        )

    def _candidate(self) -> Bundle:
        """The parent with the increment as it is, and the course features of the latest event."""
        arrays = self.situations.model(self._matrices.current).arrays(self.increment)
        arrays |= self._activity.arrays(self.last_ms)
        return replace(self.parent, courses=self.situations.courses, arrays=arrays)

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
            "rng": json.dumps(self._rng.bit_generator.state),
            "learners": self.learners.state(),
            "lineage": self.lineage.state(),
            "evidence": self.evidence.state(),
            "steps": self._steps.state(),
            "frequencies": self._frequencies.state(),
            "activity": self._activity.state(),
            "matrices": self._matrices.state(),
            "new_courses": self._new_courses.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent."""
        self._rng.bit_generator.state = json.loads(state["rng"])
        self.learners.restore(state["learners"])
        self._new_courses.restore(state["new_courses"])
        self._place_new_courses()
        self._matrices.restore(state["matrices"])
        self.lineage.restore(state["lineage"], self.situations.origin.item_item, self._matrices.current)
        self.evidence.restore(state["evidence"])
        self._steps.restore(state["steps"])
        self._frequencies.restore(state["frequencies"])
        self._activity.restore(state["activity"])
        self.positions, self.last_ms = dict(state["positions"]), state["last_ms"]
        self.situations.now(self._activity.features(self.last_ms))

    def _place_new_courses(self) -> None:
        if self._new_courses.admitted or self._new_courses.retired:
            self._place()

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """From a line with another parent: learners, offsets, and what the new parent has seen as its old slice."""
        self.learners.restore(state["learners"])
        self.evidence.go_on_from(state["evidence"], self._rng)
        self.positions = dict(state["positions"])
        self.last_ms = max(self.last_ms, state["last_ms"])  # else a course admitted now was liked at the retrain's end
        self._new_courses.go_on_from(state["new_courses"])
        self._place_new_courses()


def _event(record: LogRecord) -> Interaction | None:
    """The event of a record; None for one that is refused, or that a merge handed on: its events are in the topic."""
    if record.headers and is_handed_on(record.headers):
        return None
    try:
        return decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    except InvalidEvent:
        return None
