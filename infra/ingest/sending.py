"""From lines to acknowledged records: one pass, as fast as Kafka takes them, memory flat."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.adapters import Mapped, Outcome, Parse
from recsys.adapters.lines import MAX_LINE_BYTES, Line, Source, outcomes, read_lines
from recsys.adapters.summary import Summary
from recsys.errors import InputError
from recsys.events import encode
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.settings import Settings

STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did.

    Attributes:
        summary: What became of every line.
        acknowledged: Records that Kafka has; 0 in a dry run.
        seconds: From the first line to the last acknowledgement.
    """

    summary: Summary
    acknowledged: int
    seconds: float

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        seconds = round(self.seconds, 3)
        return {**self.summary.document(), "acknowledged": self.acknowledged, "seconds": seconds}


Split = Callable[[Iterator[Line]], Iterator[Line]]
"""Lines to what an adapter takes one at a time, where that is not a line."""


def as_they_are(lines: Iterator[Line]) -> Iterator[Line]:
    """The `Split` of a form in which each line is one."""
    return lines


Send: TypeAlias = Callable[[Iterator[Record]], int]
"""Sends records and returns how many, once all of them are acknowledged; raises if one is not."""


@contextmanager
def sending(settings: Settings) -> Iterator[Send]:
    """Opens a producer to the interactions topic.

    Raises:
        ServiceUnavailable: Kafka does not answer; by what is yielded also: a record was not acknowledged.
        ConfigurationError: The topic is missing.
    """
    producer = connect(settings, settings.interactions_topic)
    try:
        yield lambda records: produce(producer, settings.interactions_topic, records)
    finally:
        producer.close(timeout=1)


def ingest_file(
    path: Path,
    parse: Parse,
    summary: Summary,
    settings: Settings | None,
    *,
    split: Split = as_they_are,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Ingested:
    """Sends what the lines of a file are.

    Args:
        path: The file; `-` is standard input.
        parse: The adapter.
        summary: Counts go into it.
        settings: Of the Kafka to send to; None for a dry run, which sends nothing.
        split: What is made of the lines before the adapter sees them.
        max_line_bytes: A longer line is refused.

    Raises:
        InputError: The file cannot be opened.
        ServiceUnavailable: Kafka does not answer, or did not acknowledge every record.
        ConfigurationError: The topic is missing.
    """
    with _opened(path) as (source, watch):
        lines = read_lines(source, max_bytes=max_line_bytes, progress=watch)
        found = outcomes(split(lines), parse)
        records = records_of(((f"line {number}", outcome) for number, outcome in found), summary)
        started = time.perf_counter()
        acknowledged = 0
        if settings is None:
            deque(records, maxlen=0)
        else:
            with sending(settings) as send:
                acknowledged = send(records)
        return Ingested(summary, acknowledged, time.perf_counter() - started)


def records_of(found: Iterator[tuple[str, Outcome]], summary: Summary) -> Iterator[Record]:
    """The events among these outcomes as records keyed by learner; every outcome is counted.

    Args:
        found: Where each stood, and what became of it.
        summary: Counts go into it.
    """
    for where, outcome in found:
        summary.add(outcome, where)
        if isinstance(outcome, Mapped):
            yield Record(outcome.event.user_id.encode(), encode(outcome.event))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Source, Callable[[int], None]]]:
    """The file, and what is to be told of its bytes: a progress bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        if path == STANDARD_INPUT:
            task = progress.add_task("standard input", total=None)
            yield cast("Source", sys.stdin.buffer), lambda read: progress.update(task, completed=read)
            return
        try:
            source = path.open("rb")
            total = path.stat().st_size
        except OSError as error:
            raise InputError(f"{path}: expected a readable file, received: {error.strerror}") from None
        with source:
            task = progress.add_task(path.name, total=total)
            yield source, lambda read: progress.update(task, completed=read)
