"""A process ranks with the course features of now: read every few seconds, for whatever model it has loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest

from recsys.course_sums.activity import Terms, added, packed, untouched
from recsys.errors import ServiceUnavailable
from recsys.model.inputs import Doubles
from recsys.model.live_features import LiveFeatures
from recsys.online_store import AllActivity


@dataclass(frozen=True)
class Model:
    """Says which activity it has."""

    version: str
    courses: tuple[str, ...] = ()
    counts: tuple[float, ...] = ()
    at_ms: int = 0

    def with_activity(self, ids: Sequence[str], vectors: Doubles, *, at_ms: int) -> Self:
        return type(self)(self.version, tuple(ids), tuple(vectors[:, 8].tolist()), at_ms)


class World:
    """A store and two clocks."""

    def __init__(self) -> None:
        self.held: AllActivity | None = None
        self.reads, self.seconds, self.away = 0, 0.0, False
        self.features = LiveFeatures[Model](self.read, clock=lambda: self.seconds, now_ms=lambda: 7, every_s=2.0)

    async def read(self) -> AllActivity | None:
        self.reads += 1
        if self.away:
            raise ServiceUnavailable("away")
        return self.held

    def hold(self, *courses: str, touches: int = 1) -> None:
        n = len(courses) * touches
        rows = np.arange(n) % max(1, len(courses))
        vectors = added(untouched(len(courses)), Terms(rows, np.full(n, 5.0), np.ones(n), np.ones(n)))
        self.held = AllActivity(3, courses, b"".join(packed(vectors)))


async def test_a_model_is_used_as_it_is_until_something_was_merged() -> None:
    world, model = World(), Model("v1")
    assert world.features.of(model) is model
    await world.features.follow()
    assert world.features.of(model) is model
    assert world.features.computed_at_ms is None


async def test_every_model_has_what_was_merged_last_and_it_is_computed_once() -> None:
    world, first, second = World(), Model("v1"), Model("v2")
    assert world.features.of(first) is first
    world.hold("a", "b")
    await world.features.follow()
    live = world.features.of(first)
    assert live == Model("v1", ("a", "b"), (1.0, 1.0), 7)
    assert world.features.of(first) is live
    assert world.features.of(second) == Model("v2", ("a", "b"), (1.0, 1.0), 7)
    world.hold("a", touches=3)
    world.seconds = 2.0
    await world.features.follow()
    assert world.features.of(second) == Model("v2", ("a",), (3.0,), 7)
    assert world.features.computed_at_ms == 3


async def test_it_is_read_no_more_often_than_it_was_asked_for() -> None:
    world = World()
    for seconds, reads in ((0.0, 1), (1.9, 1), (2.0, 2), (3.9, 2), (4.1, 3)):
        world.seconds = seconds
        await world.features.follow()
        assert world.reads == reads


async def test_a_store_that_is_away_leaves_what_was_read() -> None:
    world, model = World(), Model("v1")
    world.hold("a")
    await world.features.follow()
    world.away, world.seconds = True, 9.0
    with pytest.raises(ServiceUnavailable):
        await world.features.follow()
    assert world.features.of(model).courses == ("a",)


async def test_nothing_at_all_was_touched() -> None:
    world = World()
    world.hold()
    await world.features.follow()
    assert world.features.of(Model("v1")).courses == ()
