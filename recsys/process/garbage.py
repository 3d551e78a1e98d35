"""The garbage collector of processes that make many short-lived objects."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
"""New objects before there is a collection. A chunk of thousands of records stays below it."""


def exempt_what_is_there() -> None:
    """Exempts all objects that start-up made from collections, which then take no time for them."""
    gc.collect()
    gc.freeze()


def collect_rarely() -> None:
    """Exempts what is there from collections, and makes them rare (`YOUNG_OBJECTS`); to be called after start.

    The interpreter's default of 700 made a third of what a fold costs: nearly all that a fold makes is freed by its
    reference counts, and a collection walks over it in vain.
    """
    exempt_what_is_there()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
