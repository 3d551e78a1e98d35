"""`recsys demo`: the whole thing on one machine, without Docker, JVM or root.

History is simulated, replayed through the embedded broker, folded by a worker and learned by the batch layer; then a
learner clicks and the API's answer changes, and a new course comes onto their list and goes. Every part is the
project's own command, run as its user would.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
import msgspec
import pandas as pd
from rich.console import Console
from rich.table import Table

from infra.devtools.live_learner import Answer, Change, LiveLearner
from infra.devtools.new_course import CameAndWent, come_and_go, publisher
from infra.devtools.stack import DemoFailed, DemoStack
from infra.operator.status import read_status
from recsys.errors import InputError, ServiceUnavailable
from recsys.files import courses_in, read_courses, read_interactions
from recsys.process.folders import require_writable

PARTITIONS = 4
LEARNERS = 800
COURSES = 300
DAYS = 60
EPOCHS = 3
CLICKS = 3
_CATCH_UP_SECONDS = 120.0
_PUBLISHED_SECONDS = 30.0
_POLL_SECONDS = 0.2


@click.command("demo")
@click.option("--once", is_flag=True, help="End after the live click, with exit status 0.")
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), help="Write before and after here.")
@click.option(
    "--learners",
    type=click.IntRange(100, 100_000),
    default=LEARNERS,
    show_default=True,
    help="Learners of the history.",
)
def command(once: bool, out: Path | None, learners: int) -> None:
    """The whole thing on one machine: history, model, a live click, the changed list.

    Needs no Docker, no JVM and no root. Without --once it stays up and prints the API's URL.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"expected an existing folder for {out}, received {out.parent}")
    if out is not None:
        require_writable(out.absolute().parent, "--json")
    console = Console(stderr=True)
    with (
        _ending_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="recsys-demo-") as folder,
        DemoStack(Path(folder), PARTITIONS) as stack,
    ):
        url = bring_up(stack, console, learners)
        change, course = live(stack, url)
        Console().print(before_and_after(change))
        click.echo(of_new_course(course))
        if out is not None:
            out.write_text(json.dumps(summary(change, course, url), ensure_ascii=False, indent=1) + "\n")
        if not once:
            _stay_up(stack, url)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, so that the children and the files go too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def step(console: Console, text: str) -> Iterator[None]:
    """Shows a step while it runs, and how long it took."""
    start = time.perf_counter()
    with console.status(text):
        yield
    console.print(f"[green]✓[/] {text} [dim]{time.perf_counter() - start:.1f} s[/]")


def bring_up(stack: DemoStack, console: Console, learners: int) -> str:
    """From nothing to an API that ranks with a trained model; returns its URL."""
    history = stack.directory / "history"
    with step(console, f"simulate {learners} learners on {COURSES} courses over {DAYS} days"):
        size = ("--learners", str(learners), "--courses", str(COURSES), "--days", str(DAYS), "--end", "now")
        stack.run("simulate", "--out", str(history), *size, "--format", "parquet")
    with step(console, "check the topics on the embedded broker"):
        stack.run("topics", "--partitions", str(PARTITIONS))
    with step(console, "replay the history to Kafka"):
        files = ("--interactions", str(history / "interactions.parquet"), "--courses", str(history / "courses.parquet"))
        stack.run("replay", *files)
    with step(console, "start a worker; it applies the history"):
        stack.start("stream", "--worker-id", "demo")
        _wait(stack, lambda: asyncio.run(read_status(stack.settings)).lag == 0, _CATCH_UP_SECONDS, "a lag of 0")
    with step(console, "train on the topic, evaluate, publish, fill the caches"):
        stack.run("retrain", "--from-topic", "--epochs", str(EPOCHS))
    with step(console, "start the API"):
        return stack.start_api()


def live(stack: DemoStack, url: str) -> tuple[Change, CameAndWent]:
    """One learner of the history clicks on a subject they have not touched; then a course of that subject comes up."""
    history = stack.directory / "history"
    courses = read_courses(history / "courses.parquet")
    user_id, course_ids = choose_clicks(read_interactions(history / "interactions.parquet"), courses)
    (first,) = courses_in(courses[courses["course_id"] == course_ids[0]])
    new = msgspec.structs.replace(first, course_id=f"{first.course_id}-new", title=f"New: {first.title}")
    learner = LiveLearner(url, user_id)
    try:
        _wait(stack, lambda: learner.ask().model is not None, _PUBLISHED_SECONDS, "an answer ranked by the model")
        learner.click_and_watch(course_ids[:1])  # the first request of a process pays for its connections
        change = learner.click_and_watch(course_ids[1:])
        return change, come_and_go(learner, publisher(stack.settings), new, course_ids)
    finally:
        learner.close()


def choose_clicks(interactions: pd.DataFrame, courses: pd.DataFrame) -> tuple[str, list[str]]:
    """A learner with a short history, and live courses of the category they touched least.

    Returns:
        The user id, and `CLICKS` + 1 course ids.
    """
    live = courses[~courses["retired"]]
    touched = interactions.merge(live[["course_id", "category"]], on="course_id")
    per_user = touched.groupby("user_id")["course_id"].nunique()
    short = float(per_user.quantile(0.25))  # a short history shows a change best
    user_id = str(min(per_user.index, key=lambda each: (abs(per_user[each] - short), each)))
    mine = touched[touched["user_id"] == user_id]
    known = mine["category"].value_counts()
    sizes = live["category"].value_counts()
    roomy = sizes[sizes > CLICKS].index
    category = min(roomy, key=lambda name: (known.get(name, 0), name))
    fresh = live[(live["category"] == category) & ~live["course_id"].isin(mine["course_id"])]
    return user_id, [str(course_id) for course_id in fresh["course_id"].head(CLICKS + 1)]


def before_and_after(change: Change) -> Table:
    """The two lists side by side; a course that moved in is marked."""
    known = set(change.before.course_ids)
    table = Table(
        title=f"{CLICKS} clicks changed the list after {change.event_to_answer_ms:.0f} ms (model {change.after.model})",
        title_justify="left",
    )
    for name in ("", "before", "after"):
        table.add_column(name)
    for rank, (old, new) in enumerate(zip(_named(change.before), _named(change.after), strict=False), 1):
        mark = "" if new[0] in known else "[green]new[/] "
        table.add_row(str(rank), old[1], mark + new[1])
    return table


def _named(answer: Answer) -> Iterator[tuple[str, str]]:
    return zip(answer.course_ids, answer.titles, strict=True)


def of_new_course(found: CameAndWent) -> str:
    """What became of the new course, as one sentence."""
    return (
        f"A new course, {found.course.title!r}, was number {found.rank} of the list {found.listed_s:.1f} s after its "
        "record in the catalogue's topic, with the learner's next event; retired, it was off the list after "
        f"{found.gone_s:.1f} s."
    )


def summary(change: Change, course: CameAndWent, url: str) -> dict[str, object]:
    """What a program wants to know of the demo."""
    return {
        "before": list(change.before.course_ids),
        "after": list(change.after.course_ids),
        "event_to_answer_ms": round(change.event_to_answer_ms, 3),
        "model": change.after.model,
        "source": change.after.source,
        "new_course": {
            "course_id": course.course.course_id,
            "rank": course.rank,
            "listed_s": round(course.listed_s, 3),
            "gone_s": round(course.gone_s, 3),
        },
        "titles": {
            **dict(_named(change.before)),
            **dict(_named(change.after)),
        },
        "url": url,
    }


def _wait(stack: DemoStack, reached: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not _quietly(reached):
        stack.check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"{seconds:g} s passed without {what} (logs in {stack.directory})")
        time.sleep(_POLL_SECONDS)


def _quietly(reached: Callable[[], bool]) -> bool:
    try:
        return reached()
    except ServiceUnavailable:
        return False


def _stay_up(stack: DemoStack, url: str) -> None:
    click.echo(f"The API answers on {url} (try {url}/docs). Ctrl-C ends the demo.")
    try:
        while True:
            stack.check()
            time.sleep(1.0)
    except KeyboardInterrupt:
        click.echo("ending")
