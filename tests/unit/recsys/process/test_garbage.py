"""Collections are rare, and what is there at the start is exempt from them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from recsys.process.garbage import YOUNG_OBJECTS, collect_rarely


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_is_there_is_exempt_and_what_comes_is_looked_at_rarely_but_looked_at() -> None:
    collect_rarely()
    assert gc.get_freeze_count() > 0
    before = gc.get_stats()[0]["collections"]
    kept = [[] for _ in range(YOUNG_OBJECTS // 2)]  # type: list[list[None]]
    assert gc.get_stats()[0]["collections"] == before
    kept += [[] for _ in range(YOUNG_OBJECTS)]
    assert gc.get_stats()[0]["collections"] > before
