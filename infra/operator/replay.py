"""`recsys replay` produces the neutral files to Kafka, one record an event, and ends after the last acknowledgement.

It sends what the files say, also rows that are no valid events: refusing them is the stream's work, which then has
its dead letters to show. It never creates a topic.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from infra.operator.rate import Rate
from recsys.catalog import encode_course
from recsys.events import Interaction, encode
from recsys.files import INTERACTION_COLUMNS, courses_in, read_courses, read_interactions
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Attributes:
        interactions: Acknowledged event records.
        courses: Acknowledged course records.
        seconds: From the first record to the last acknowledgement.
        records_per_second: Both kinds together.
    """

    interactions: int
    courses: int
    seconds: float
    records_per_second: float


def event_records(interactions: pd.DataFrame, shift_ms: int = 0) -> Iterator[Record]:
    """The rows of a frame of `read_interactions` as records; the key is the user id.

    Args:
        interactions: The events, in the order they will be sent.
        shift_ms: Added to every timestamp.
    """
    columns = [interactions[name].tolist() for name in INTERACTION_COLUMNS]
    for event_id, user_id, course_id, kind, timestamp, value, session_id, user_agent, into in zip(
        *columns, strict=True
    ):
        present = None if value != value else value  # noqa: PLR0124 - NaN, the absent value, differs from itself
        at_ms = timestamp + shift_ms
        event = Interaction(event_id, user_id, course_id, kind, at_ms, present, session_id, user_agent, into=into)
        yield Record(user_id.encode(), encode(event))


def course_records(courses: pd.DataFrame) -> Iterator[Record]:
    """The rows of a frame of `read_courses` as records; the key is the course id, a retired course says so itself."""
    return (Record(course.course_id.encode(), encode_course(course)) for course in courses_in(courses))


@click.command("replay")
@click.option("--interactions", required=True, type=click.Path(path_type=Path), help="interactions.csv or .parquet")
@click.option("--courses", type=click.Path(path_type=Path), help="courses.csv or .parquet, sent before the events")
@click.option("--rate", type=Rate(), help="Events a second; as fast as they go without.")
@click.option("--shift-to-now", is_flag=True, help="Move all event times so that the newest is now.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(interactions: Path, courses: Path | None, rate: float | None, shift_to_now: bool, as_json: bool) -> None:
    """Produce interaction and course files to Kafka.

    Ends after the last acknowledgement; if one record fails, with status 3 and the count.
    """
    settings = load_settings()
    events = read_interactions(interactions)
    catalogue = None if courses is None else read_courses(courses)
    shift_ms = int(time.time() * 1000) - int(events["timestamp"].max()) if shift_to_now and len(events) else 0
    replayed = _replay(settings, events, catalogue, rate=rate, shift_ms=shift_ms)
    click.echo(json.dumps(asdict(replayed)) if as_json else _sentence(replayed))


def _replay(
    settings: Settings, events: pd.DataFrame, catalogue: pd.DataFrame | None, *, rate: float | None, shift_ms: int
) -> Replayed:
    topics = [settings.interactions_topic] + ([] if catalogue is None else [settings.courses_topic])
    producer = connect(settings, *topics)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        started = time.perf_counter()
        try:
            courses = 0
            if catalogue is not None:
                task = progress.add_task("courses", total=len(catalogue))
                courses = produce(producer, topics[1], course_records(catalogue), on_progress=_bar(progress, task))
            task = progress.add_task("interactions", total=len(events))
            records = event_records(events, shift_ms)
            sent = produce(producer, topics[0], records, rate=rate, on_progress=_bar(progress, task))
        finally:
            producer.close(timeout=1)
        seconds = time.perf_counter() - started
    return Replayed(sent, courses, round(seconds, 3), round((sent + courses) / seconds, 1))


def _bar(progress: Progress, task: TaskID) -> Callable[[int], None]:
    return lambda done: progress.update(task, completed=done)


def _sentence(replayed: Replayed) -> str:
    return (
        f"{replayed.interactions} interactions and {replayed.courses} courses acknowledged"
        f" in {replayed.seconds:.1f} s ({replayed.records_per_second:.0f} records/s)"
    )
