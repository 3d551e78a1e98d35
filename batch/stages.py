"""Progress of a batch job: named stages with bars on stderr, quiet when nobody watches a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""

Stage = Callable[[str], Progress]
"""Begins a named stage of the work and returns how to report its progress."""


def silent(_name: str) -> Progress:
    """A `Stage` that shows nothing."""
    return lambda _done, _total: None


@contextmanager
def shown_stages() -> Iterator[Stage]:
    """A `Stage` that draws one bar per stage on stderr while the context lasts."""
    console = Console(stderr=True)
    with Bars(console=console, disable=not console.is_terminal) as bars:

        def stage(name: str) -> Progress:
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield stage
