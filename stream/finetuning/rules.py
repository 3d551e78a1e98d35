"""How an increment learns: all numbers in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.finetuning.gate import GateRules
from stream.finetuning.new_courses import NewCourseRules

LABELS = frozenset({"view", "click", "play", "bookmark", "enroll", "rate"})
"""Event types that may be labels, where they are a learner's first touch of a course and leave it liked.

Liked is what the batch layer calls it: the record's engagement is positive, so a rating of 3 or less is no label.
`complete` and `progress` follow a choice that was a label already.
"""


@dataclass(frozen=True, slots=True)
class LearningRules:
    """How an increment learns.

    Attributes:
        rank: Directions along which courses may move.
        fresh: New examples in a batch; as many come from the reservoir.
        draws: Courses drawn for an example.
        reservoir: Examples kept for replay.
        of_a_block: Most examples of a block: what bounds the CPU of an event.
        of_a_learner: Most examples of one learner in a block.
        of_a_course: Most examples of one course in a block, so that a flood on one course does not take all of it.
        frequency_half_life: Of the courses' frequencies, in positive events.
        spike: Mean absolute deviations above the mean loss from which a step is not taken.
        stops: Steps not taken in a row after which the increment goes back to what is published.
        held: Examples of the time before the parent's end that are kept as the old slice.
        sample: Latest labels, for whose learners the top-10 lists are compared.
        learners: Most learners remembered.
        max_courses: Most courses remembered of one.
        refresh_growth: Share by which the liked pairs grow before the next refresh; it estimates the ranker's weights
            anew.
        matrices_every: The first of so many refreshes makes the item-item matrices anew, too, which is most of the CPU;
            so does the next one after courses came.
        refresh_ms: Least event time between two refreshes: in a short history the likes of a second may be that share.
        refresh_known: Least share of the liked pairs that the learners remembered must hold. A topic without the
            parent's history, or more learners than are remembered, would give worse matrices than the parent's.
        snapshots: Most snapshots kept that the ranker's weights are estimated from.
        snapshot_learners: Most learners of each.
        snapshot_cells: Most learners × courses of each, which are 4.5 MB of signals.
        least_lists: Fewest lists from which the ranker's weights are estimated.
        held_lists: How many lists the penalty toward the parent's weights stands for.
        weights_bound: Largest size of a ranker weight of an increment.
        new_courses: When a course that came after the parent has a row.
        gate: When an increment passes.
    """

    rank: int = 8
    fresh: int = 32
    draws: int = 63
    reservoir: int = 1024
    of_a_block: int = 16
    of_a_learner: int = 4
    of_a_course: int = 4
    frequency_half_life: float = 2000.0
    spike: float = 8.0
    stops: int = 5
    held: int = 300
    sample: int = 100
    learners: int = 50_000
    max_courses: int = 500
    refresh_growth: float = 0.02
    matrices_every: int = 2
    refresh_ms: int = 10_000
    refresh_known: float = 0.8
    snapshots: int = 8
    snapshot_learners: int = 70
    snapshot_cells: int = 560_000
    least_lists: int = 200
    held_lists: float = 250.0
    weights_bound: float = 2.0
    new_courses: NewCourseRules = field(default_factory=NewCourseRules)
    gate: GateRules = field(default_factory=GateRules)
