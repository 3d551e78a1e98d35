"""Projections: each declares one effect of an event on a shard, and nothing else knows of it.

A projection names the state it reads, folds events purely and returns typed operations
(`recsys.online_store.operations`). The live fold and the rebuild run the same ones. A new effect is a new module here,
its test, and a line in `registered`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from recsys.engagement import ForwardDecay
from stream.engagement.projections.bots import Bots
from stream.engagement.projections.counts import Counts
from stream.engagement.projections.dedupe import Dedupe
from stream.engagement.projections.done import DoneCourses
from stream.engagement.projections.engagement import Engagement
from stream.engagement.projections.events import Events, Projection
from stream.engagement.projections.trending import TrendingSums

__all__ = ["Events", "Parameters", "Projection", "registered"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What projections are configured with.

    Attributes:
        decay: Decay of engagement.
        trending_decay: Decay of trending.
        done_progress: The `progress` that completes a course.
        max_courses: Courses kept per learner.
        max_done: Courses kept per learner as not to be recommended.
        catalogue: The courses that are known right now; None while no catalogue is.
    """

    decay: ForwardDecay
    trending_decay: ForwardDecay
    done_progress: float
    max_courses: int
    max_done: int
    catalogue: Callable[[], Container[str] | None]


def registered(parameters: Parameters) -> tuple[Projection, ...]:
    """Every projection, in the order in which their operations are applied."""
    return (
        Engagement(parameters.decay, parameters.max_courses),
        DoneCourses(parameters.done_progress, parameters.max_done),
        Bots(),
        TrendingSums(parameters.trending_decay, parameters.catalogue),
        Dedupe(),
        Counts(),
    )
