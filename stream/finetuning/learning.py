"""A line of increments: what grows from one retrain, block by block. No clock, no I/O; the training step is given.

The state is a function of the parent bundle and the blocks learned in their order. What a block does: events are
decoded and folded (`learners`); each first touch of a course by a learner with a history is predicted, then becomes an
example; examples are learned in batches of one shape, half new and half drawn from the reservoir.

`complete` and `progress` are no labels here: they follow a choice that was one already. A learner needs no row of their
own, because the user tower pools their history; a course unknown to the parent waits for the next retrain.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError, InvalidEvent
from recsys.events import Interaction, decode
from recsys.handed_on import is_handed_on
from recsys.model.bundle import MIXER, Bundle, Draft
from recsys.model.increment import Increment, IncrementModel, Situation
from recsys.model.inputs import Floats, Rows
from recsys.model.mixed_affinity import decayed
from recsys.model.top_k import top_rows
from recsys.prequential import TOP
from recsys.record import RecordRules
from stream.finetuning.blocks import Block, LogRecord
from stream.finetuning.examples import Example, Frequencies, Reservoir, batch, example
from stream.finetuning.gate import GateRules, Outcome, Trial, Verdict, judge, ndcg_of, share_moved
from stream.finetuning.learners import Learners
from stream.finetuning.losses import Losses
from stream.finetuning.moments import Moment, OldSlice, packed, unpacked

LABELS = frozenset({"view", "click", "play", "bookmark", "enroll", "rate"})

Step = Callable[[Any, Sequence[Any]], tuple[Any, float]]
"""`(optimizer state, columns of a batch)` → `(state after, loss before)`."""


@dataclass(frozen=True, slots=True)
class LearningRules:
    """How an increment learns.

    Attributes:
        rank: Directions along which courses may move.
        fresh: New examples in a batch; as many come from the reservoir.
        draws: Courses drawn for an example.
        reservoir: Examples kept for replay.
        of_a_learner: Most examples of one learner in a block.
        of_a_course: Most examples of one course in a block.
        frequency_half_life: Of the courses' frequencies, in positive events.
        spike: Mean absolute deviations above the mean loss from which a step is not taken.
        stops: Steps not taken in a row after which the increment goes back to what is published.
        held: Examples of the time before the parent's end that are kept as the old slice.
        sample: Latest situations of learners whose top-10 is compared.
        learners: Most learners remembered.
        max_courses: Most courses remembered of one.
        gate: When an increment passes.
    """

    rank: int = 8
    fresh: int = 32
    draws: int = 63
    reservoir: int = 4096
    of_a_learner: int = 4
    of_a_course: int = 16
    frequency_half_life: float = 2000.0
    spike: float = 8.0
    stops: int = 5
    held: int = 300
    sample: int = 100
    learners: int = 50_000
    max_courses: int = 500
    gate: GateRules = field(default_factory=GateRules)


class Line:
    """Increments that grow from one bundle.

    Args:
        parent: A verified bundle of the hybrid model.
        rules: How to learn.
        records: Rules of records.
        step: The training step.
        start: A fresh state of the training step at an increment.

    Attributes:
        positions: Partition → offset after the last block learned.
        published: The version published last of this line; the parent's at first.
        before: The version published before it, to which a roll-back goes; None where there is none.
        proposed: A version written and on its way to be published; None for none.
        rejections: In a row.

    Raises:
        BundleError: The parent is none that the ranker ranks: a baseline has nothing to fine-tune.
    """

    def __init__(
        self,
        parent: Bundle,
        rules: LearningRules,
        records: RecordRules,
        *,
        step: Step,
        start: Callable[[Increment], Any],
    ) -> None:
        if MIXER not in parent.arrays:
            raise BundleError(f"expected a hybrid model to fine-tune, received the baseline {parent.manifest.version}")
        self.parent, self._rules, self._step, self._start = parent, rules, step, start
        manifest = parent.manifest
        self.model = IncrementModel(parent.arrays, manifest.settings.history_length, rank=rules.rank)
        self._row_of = {course.course_id: row for row, course in enumerate(parent.courses)}
        self._user_row = {user: row for row, user in enumerate(parent.users, start=1)}
        self._offered: NDArray[np.bool_] = np.array([not course.retired for course in parent.courses], dtype=bool)
        self._seen_until = {int(partition): end for partition, (_, end) in manifest.data.offsets.items()}
        self.learners = Learners(records, limit=rules.learners, max_courses=rules.max_courses)
        self.positions: dict[int, int] = {}
        self.learned = 0
        self.last_ms = manifest.data.last_ms
        self._begin()

    def _begin(self) -> None:
        none = Increment.none(self.model.courses, self.model.rank)
        self._state = self._start(none)
        self._of_published, self._of_before = none, none
        self.published: str = self.parent.manifest.version
        self.before: str | None = None
        self.proposed: str | None = None
        self._of_proposed = none
        self._rng = np.random.default_rng(self.parent.manifest.settings.seed)
        self._frequencies = Frequencies(self.model.courses, self._rules.frequency_half_life)
        self._reservoir = Reservoir(self._rules.reservoir)
        self._old = OldSlice(self._rules.held)
        self._sample: deque[Moment] = deque(maxlen=self._rules.sample)
        self.newest, self.guard = Trial(), Trial()
        self._losses = Losses(self._rules.spike)
        self.rejections = 0

    @property
    def increment(self) -> Increment:
        """As it is."""
        found: Increment = self._state.increment
        return found

    @property
    def published_increment(self) -> Increment:
        """As it is published."""
        return self._of_published

    @property
    def frozen(self) -> bool:
        """Whether it was rejected so often that nothing is learned any more."""
        return self.rejections >= self._rules.gate.rejections

    def learn(self, block: Block) -> Counter[str]:
        """Folds and learns a block.

        Returns:
            Records by what became of them, and steps by whether they were taken.
        """
        counts: Counter[str] = Counter()
        of_learner: Counter[str] = Counter()
        of_course: Counter[int] = Counter()
        fresh: list[Example] = []
        for record in block.records:
            event = _event(record)
            if event is None:
                counts["passed_over"] += 1
                continue
            outcome, found = self._take(event, block.place.partition, record.offset, of_learner, of_course)
            counts[outcome] += 1
            fresh += found
        for at in range(0, len(fresh), self._rules.fresh):
            self._train(fresh[at : at + self._rules.fresh], counts)
        self.positions[block.place.partition] = block.place.stop
        return counts

    def _take(
        self, event: Interaction, partition: int, offset: int, of_learner: Counter[str], of_course: Counter[int]
    ) -> tuple[str, list[Example]]:
        """Folds one event; what became of it, and the example that it gives, if any."""
        user, row = self.learners.owner(event.user_id), self._row_of.get(event.course_id)
        moment = None
        if row is not None and event.type in LABELS and not self.learners.has(user, event.course_id):
            moment = self._moment(user, event.timestamp, row)
        touch = self.learners.apply(event)
        self.last_ms = max(self.last_ms, event.timestamp)
        if touch is None:
            if event.type == "erase":
                self._reservoir.forget(user)
            return "control", []
        if touch.bot or moment is None or not touch.first or not touch.liked:
            return "bot" if touch.bot else "folded", []
        if not self._is_new(partition, offset, event):
            self._old.add(moment, self._rng)
            return "seen_by_parent", []
        return self._learn_from(moment, user, event.timestamp, of_learner, of_course)

    def _learn_from(
        self, moment: Moment, user: str, at_ms: int, of_learner: Counter[str], of_course: Counter[int]
    ) -> tuple[str, list[Example]]:
        """Predicts a label and makes its example, unless too many of its learner or course came in this block."""
        if self.frozen:
            return "frozen", []
        if of_learner[user] >= self._rules.of_a_learner or of_course[moment.course] >= self._rules.of_a_course:
            return "capped", []
        of_learner[user] += 1
        of_course[moment.course] += 1
        return self._predict(moment, user, at_ms)

    def _is_new(self, partition: int, offset: int, event: Interaction) -> bool:
        """Whether the parent has not seen it."""
        if self._seen_until:
            return offset >= self._seen_until.get(partition, 0)
        return event.timestamp > self.parent.manifest.data.last_ms

    def _moment(self, user: str, at_ms: int, row: int) -> Moment | None:
        """The learner just before an event; None for one without courses that the parent knows."""
        stored = [
            (self._row_of[course], value)
            for course, value in self.learners.engagement(user).items()
            if course in self._row_of
        ]
        if not stored or not self._offered[row]:
            return None
        rows = np.array([known for known, _ in stored], np.int32)
        sums = np.array([value for _, value in stored], np.float64)
        now = decayed(sums, at_ms=at_ms, half_life_days=self.parent.manifest.engagement.half_life_days)
        return Moment(self._user_row.get(user, 0), rows, now, row)

    def _situation(self, moment: Moment) -> Situation | None:
        return self.model.situation(moment.user_row, moment.rows, moment.engagement)

    def _predict(self, moment: Moment, user: str, at_ms: int) -> tuple[str, list[Example]]:
        situation = self._situation(moment)
        if situation is None:
            return "folded", []
        now, published, before = (
            self._ndcg(situation, moment.course, each) for each in (self.increment, self._of_published, self._of_before)
        )
        self.newest = self.newest.added(now, published, at_ms)
        if self.before is not None:
            self.guard = self.guard.added(published, before, at_ms)
        self._sample.append(moment)
        made = example(
            self.model,
            situation,
            user=user,
            positive=moment.course,
            probabilities=self._frequencies.probabilities(self._offered),
            draws=self._rules.draws,
            rng=self._rng,
        )
        self._frequencies.add(moment.course)
        return "learned", [made]

    def _ndcg(self, situation: Situation, course: int, increment: Increment) -> float:
        return ndcg_of(self.model.scores(situation, increment), course, self._hidden(situation.touched))

    def _hidden(self, touched: Rows) -> NDArray[np.bool_]:
        hidden = ~self._offered
        hidden[touched] = True
        return hidden

    def _train(self, fresh: Sequence[Example], counts: Counter[str]) -> None:
        """One step, taken only where it ends in numbers and its loss is no spike."""
        replayed = self._reservoir.draw(self._rules.fresh, self._rng)
        after, loss = self._step(self._state, batch([*fresh, *replayed], 2 * self._rules.fresh))
        for each in fresh:
            self._reservoir.add(each, self._rng)
        if not (np.isfinite(loss) and after.increment.is_finite()):
            self._stop(fresh, counts, "not_finite")
        elif self._losses.is_spike(loss):
            self._stop(fresh, counts, "spike")
        else:
            self._state = after
            self._losses.taken(loss)
            self.learned += len(fresh)
            counts["steps"] += 1

    def _stop(self, fresh: Sequence[Example], counts: Counter[str], why: str) -> None:
        counts[f"stopped_{why}"] += 1
        self._reservoir.remove(fresh)
        self._losses.stops += 1
        if self._losses.stops >= self._rules.stops:
            self._back_to_published()
            counts["set_back"] += 1

    def _back_to_published(self) -> None:
        self._state = self._start(self._of_published)
        self.newest = Trial()
        self._losses.reset()

    def judge(self) -> Verdict:
        """The verdict on the increment as it is; one that is rejected is gone with it."""
        if self.frozen:
            reason = f"rejected {self.rejections} times in a row: nothing is learned until a retrain is published"
            return Verdict(Outcome.FROZEN, reason)
        finite = self.increment.is_finite()
        enough = finite and self.newest.events >= self._rules.gate.events
        verdict = judge(
            self._rules.gate,
            self.newest,
            self.guard,
            finite=finite,
            moved=self._moved() if enough else 0.0,
            old=self.old_slice(self.increment) if enough else None,
        )
        if verdict.outcome is Outcome.REJECTED:
            self.reject()
        return verdict

    def reject(self) -> None:
        """The increment is no good: what was learned since the last publication is taken back."""
        self._back_to_published()
        self.rejections += 1

    def _moved(self) -> float:
        situations = [found for found in map(self._situation, self._sample) if found is not None]
        return share_moved(self._tops(situations, self._of_published), self._tops(situations, self.increment))

    def _tops(self, situations: Sequence[Situation], increment: Increment) -> list[list[int]]:
        return [self.top(situation, increment) for situation in situations]

    def top(self, situation: Situation, increment: Increment) -> list[int]:
        """The top-10 of a situation, as course rows."""
        scores = np.where(self._hidden(situation.touched), -np.inf, self.model.scores(situation, increment))
        return top_rows(scores.astype(np.float32), TOP)

    def old_slice(self, increment: Increment) -> tuple[float, float] | None:
        """NDCG@10 on the old slice by an increment and by the parent itself; None without one."""
        none = Increment.none(self.model.courses, self.model.rank)
        pairs = [
            (self._ndcg(situation, moment.course, increment), self._ndcg(situation, moment.course, none))
            for moment in self._old
            if (situation := self._situation(moment)) is not None
        ]
        if not pairs:
            return None
        mine, parents = np.mean(pairs, axis=0)
        return float(mine), float(parents)

    def draft(self, verdict: Verdict, *, at_ms: int) -> Draft:
        """The increment as a bundle. Its parent is the retrain, whose arrays it is made of."""
        manifest = self.parent.manifest
        offsets = {str(partition): (0, end) for partition, end in sorted(self.positions.items())}
        data = msgspec.structs.replace(
            manifest.data,
            events=manifest.data.events + self.learned,
            last_ms=self.last_ms,
            offsets={**manifest.data.offsets, **offsets},
        )
        headline = f"An increment of {manifest.version}, in place of {self.published}. Gate: {verdict.reason}."
        metrics = {
            "model": INCREMENT,
            "headline": headline,
            "ndcg@10": verdict.figures.get("ndcg@10", 0.0),
            "gate": dict(verdict.figures),
            "replaces": self.published,
        }
        return Draft(
            parent=manifest.version,
            created_at_ms=at_ms,
            data=data,
            settings=manifest.settings,
            engagement=manifest.engagement,
            metrics=metrics,
            users=self.parent.users,
            courses=self.parent.courses,
            arrays=self.model.arrays(self.increment),
            documents=self.parent.documents,
        )

    def propose(self, version: str) -> None:
        """The increment as it is was written as a bundle, and is to be published."""
        self.proposed, self._of_proposed = version, self.increment

    def was_published(self) -> None:
        """What was proposed is published."""
        if self.proposed is None:
            raise ValueError("nothing was proposed")
        self.before, self._of_before = self.published, self._of_published
        self.published, self._of_published = self.proposed, self._of_proposed
        self.proposed, self.rejections = None, 0
        self.newest, self.guard = Trial(), Trial()

    def was_dropped(self) -> None:
        """What was proposed is not published."""
        self.proposed = None

    def was_rolled_back(self) -> None:
        """What was published is no more; what was before it is. It counts as a rejection."""
        if self.before is None:
            raise ValueError("nothing was published before")
        self.published, self._of_published = self.before, self._of_before
        self.before, self.guard = None, Trial()
        self.reject()

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "parent": self.parent.manifest.version,
            "published": self.published,
            "before": self.before,
            "proposed": self.proposed,
            "increments": [tuple(each) for each in (self._of_published, self._of_before, self._of_proposed)],
            "training": [tuple(self.increment), self._state.bias_squares, self._state.rows_squares],
            "positions": self.positions,
            "learned": self.learned,
            "last_ms": self.last_ms,
            "rng": json.dumps(self._rng.bit_generator.state),
            "frequencies": self._frequencies.state(),
            "reservoir": self._reservoir.state(),
            "learners": self.learners.state(),
            "old": self._old.state(),
            "sample": packed(list(self._sample)),
            "newest": msgspec.to_builtins(self.newest),
            "guard": msgspec.to_builtins(self.guard),
            "losses": self._losses.state(),
            "rejections": self.rejections,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent."""
        self.published, self.before, self.proposed = state["published"], state["before"], state["proposed"]
        increments = [Increment(*each) for each in state["increments"]]
        self._of_published, self._of_before, self._of_proposed = increments
        increment, bias_squares, rows_squares = state["training"]
        self._state = replace_state(self._start, Increment(*increment), bias_squares, rows_squares)
        self._rng.bit_generator.state = json.loads(state["rng"])
        self._frequencies.restore(state["frequencies"])
        self._reservoir.restore(state["reservoir"])
        self._old.restore(state["old"])
        self._sample.clear()
        self._sample.extend(unpacked(state["sample"]))
        self.newest, self.guard = (msgspec.convert(state[name], Trial) for name in ("newest", "guard"))
        self._losses.restore(state["losses"])
        self.rejections, self.learned, self.last_ms = state["rejections"], state["learned"], state["last_ms"]
        self.go_on_from(state)

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Learners and offsets alone, of a line with another parent: a new line begins where that one is."""
        self.learners.restore(state["learners"])
        self.positions = dict(state["positions"])


INCREMENT = "increment"
"""The `metrics.model` of a bundle that was fine-tuned."""


def replace_state(start: Callable[[Increment], Any], increment: Increment, *squares: Floats) -> Any:
    """An optimizer's state with its sums."""
    fresh = start(increment)
    return fresh._replace(bias_squares=squares[0], rows_squares=squares[1])


def _event(record: LogRecord) -> Interaction | None:
    """The event of a record; None for one that is refused, or that a merge handed on: its events are in the topic."""
    if record.headers and is_handed_on(record.headers):
        return None
    try:
        return decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    except InvalidEvent:
        return None
