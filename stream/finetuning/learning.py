"""Learning a block: what it does to a line of increments. No clock, no I/O.

Events are decoded and folded (`learners`); each first touch of a course by a learner with a history is a label. All
labels of the block are predicted together (`evidence`), become examples, and are then learned (`steps`); the course
features are brought up to date (`course_activity`) and, now and then, the item-item matrices (`matrices`) and the
ranker's weights (`reweighting`). So nothing of a block is known when its labels are predicted but what the learner did
before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from recsys.errors import InvalidEvent
from recsys.events import Interaction, decode
from recsys.handed_on import is_handed_on
from recsys.model.mixed_affinity import decayed
from stream.finetuning.blocks import Block, LogRecord
from stream.finetuning.examples import Example, example
from stream.finetuning.learners import Change
from stream.finetuning.line import Line
from stream.finetuning.matrices import KEPT, REFRESHED
from stream.finetuning.moments import Moment
from stream.finetuning.reweighting import reweigh
from stream.finetuning.rules import LABELS


def learn_block(line: Line, block: Block) -> Counter[str]:
    """Folds and learns a block.

    Returns:
        Records by what became of them, and steps by whether they were taken.
    """
    folding = _Folding(line, block.place.partition)
    counts = Counter(folding.take(record) for record in block.records)
    counts += line.steps.take(_examples(line, folding.labels), line.lineage.of_published.increment, line.rng)
    for name in folding.merged:
        line.snapshots.forget(name)  # what came by a merge was not liked since
    if counts["set_back"]:
        line.back_to_published()
    refreshed = ""
    if folding.changes:
        line.activity.add(folding.changes)
        refreshed = line.matrices.refresh(line.learners, line.activity.likes(), line.last_ms)
    line.situations.now(line.activity.features(line.last_ms))
    if refreshed in {REFRESHED, KEPT} or (folding.changes and not line.snapshots):
        counts[reweigh(line)] += 1
    counts[refreshed] += 1
    del counts[""]
    line.positions[block.place.partition] = block.place.stop
    return counts


class _Folding:
    """The fold of one block.

    Args:
        line: What it is folded into.
        partition: Of the block.

    Attributes:
        labels: To learn from.
        changes: Of records.
        merged: Learners who gave or were given records by a merge.
    """

    def __init__(self, line: Line, partition: int) -> None:
        self._line, self._partition = line, partition
        self._of_learner, self._of_course = Counter[str](), Counter[str]()
        self.labels: list[Moment] = []
        self.changes: list[Change] = []
        self.merged: set[str] = set()

    def take(self, record: LogRecord) -> str:
        """Takes one record; what became of it."""
        event = _event(record)
        return "passed_over" if event is None else self._fold(event, record.offset)

    def _fold(self, event: Interaction, offset: int) -> str:
        """Predicts and folds one event."""
        line = self._line
        user = line.learners.owner(event.user_id)
        new = line.situations.is_new(self._partition, offset, event.timestamp)
        folded = line.learners.apply(event)
        line.last_ms = max(line.last_ms, event.timestamp)
        touch = folded.touch
        if new and not (touch and touch.bot):
            self.changes += folded.changes
        if touch is None:
            if event.type == "erase":
                erased = line.forget(user)
                self.labels = [label for label in self.labels if label.user not in erased]
            elif event.type == "merge":
                self.merged |= {user, line.learners.owner(user)}
            return "control"
        if touch.bot:
            return "bot"
        if new and touch.liked and event.type in LABELS:
            line.new_courses.saw(event.course_id, touch.user, event.timestamp)
        is_label = event.type in LABELS and touch.first and touch.liked and touch.history
        if not (is_label and line.situations.is_offered(event.course_id)):
            return "folded"
        if not new:
            line.evidence.seen_by_parent(lambda: self._moment(user, event, offset), line.rng)
            return "seen_by_parent"
        return self._unless_capped(user, event.course_id) or self._label(self._moment(user, event, offset))

    def _unless_capped(self, user: str, course_id: str) -> str:
        """Why a label is not learned from; "" where it is."""
        rules = self._line.rules
        if self._line.frozen:
            return "frozen"
        if self._of_learner[user] >= rules.of_a_learner or self._of_course[course_id] >= rules.of_a_course:
            return "capped"
        return "over_budget" if len(self.labels) >= rules.of_a_block else ""

    def _label(self, moment: Moment) -> str:
        """Takes a label; nothing where its learner has no history to predict from."""
        if not self._line.situations.is_ranked(moment):
            return "folded"
        self._of_learner[moment.user] += 1
        self._of_course[moment.course] += 1
        self.labels.append(moment)
        return "learned"

    def _moment(self, user: str, event: Interaction, offset: int) -> Moment:
        """The learner just before a first touch: all that they have but the course of this one."""
        line = self._line
        engagement = dict(line.learners.engagement(user))
        engagement.pop(event.course_id, None)
        half_life_days = line.parent.manifest.engagement.half_life_days
        sums = np.array(list(engagement.values()), np.float64)
        now = decayed(sums, at_ms=event.timestamp, half_life_days=half_life_days)
        return Moment(user, list(engagement), now, event.course_id, self._partition, offset, event.timestamp)


def _examples(line: Line, labels: Sequence[Moment]) -> list[Example]:
    """Predicts the labels of a block, and makes their examples."""
    situations, variant, lineage = line.situations, line.variant, line.lineage
    ranking = (variant, lineage.of_published, *([lineage.of_before] if lineage.before is not None else []))
    matrices = {each.item_item.number: each.item_item for each in ranking}
    seen = {number: list(situations.of_all(labels, of)) for number, of in matrices.items()}
    model, made = situations.model(variant.item_item), list[Example]()
    for place, label in enumerate(labels):
        seen_by = {number: found for number, of in seen.items() if (found := of[place]) is not None}
        line.evidence.predicted(label, seen_by, variant, lineage, line.rng)
        row, situation = situations.row_of[label.course], seen_by[variant.item_item.number]
        line.snapshots.saw(label.user, situation)
        made.append(
            example(
                model,
                situation,
                user=label.user,
                positive=row,
                probabilities=line.frequencies.probabilities(situations.offered),
                draws=line.rules.draws,
                rng=line.rng,
            )
        )
        line.frequencies.add(row)
    return made


def _event(record: LogRecord) -> Interaction | None:
    """The event of a record; None for one that is refused, or that a merge handed on: its events are in the topic."""
    if record.headers and is_handed_on(record.headers):
        return None
    try:
        return decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    except InvalidEvent:
        return None
