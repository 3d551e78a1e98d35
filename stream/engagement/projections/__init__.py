"""Projections: each declares one effect of an event on a shard, and nothing else knows of it.

A projection names the state it reads, folds events purely and returns typed operations
(`recsys.online_store.operations`). What events do to records is folded once (`stream.engagement.record_fold`), and
projections turn it into operations. The live fold and the rebuild run the same ones. A new effect is a new module here,
its test, and a line in `REGISTERED`.
"""

from __future__ import annotations

from stream.engagement.projections.bots import Bots
from stream.engagement.projections.counts import Counts
from stream.engagement.projections.course_sums import CourseSums
from stream.engagement.projections.done import DoneCourses
from stream.engagement.projections.engagement import Engagement
from stream.engagement.projections.events import Events, Projection
from stream.engagement.projections.registers import Registers

__all__ = ["REGISTERED", "Events", "Projection"]

REGISTERED: tuple[Projection, ...] = (
    Engagement(),
    DoneCourses(),
    Bots(),
    CourseSums(),
    Registers(),
    Counts(),
)
"""Every projection, in the order in which their operations are applied."""
