"""`recsys demo`: the whole thing on one machine, without Docker, JVM or root.

History is simulated, replayed through the embedded broker, folded by a worker and learned by the batch layer; then a
learner clicks and the API's answer changes, others turn to the same subject and the fine-tuner learns from them, and a
new course comes onto a list and goes. Every part is the project's own command, run as its user would.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
import msgspec
import pandas as pd
from rich.console import Console

from infra.devtools.demo_report import CLICKS, before_and_after, of_finetuning, of_new_course, places, summary
from infra.devtools.live_learner import Answer, Change, LiveLearner
from infra.devtools.new_course import CameAndWent, come_and_go, publisher
from infra.devtools.running_finetuner import RunningFinetuner
from infra.devtools.stack import DemoFailed, DemoStack
from infra.devtools.taste_shift import TasteShift, choose_others, clicks_of_others, popular_now, tuned_list
from infra.operator.status import read_status
from recsys.errors import InputError, ServiceUnavailable
from recsys.files import courses_in, read_courses, read_interactions
from recsys.process.clock import now_ms
from recsys.process.folders import require_writable

PARTITIONS = 4
LEARNERS = 800
COURSES = 300
DAYS = 60
EPOCHS = 3
_CATCH_UP_SECONDS = 120.0
_PUBLISHED_SECONDS = 30.0
_FINETUNED_SECONDS = 200.0
_POLL_SECONDS = 0.2


@click.command("demo")
@click.option("--once", is_flag=True, help="End by itself, with exit status 0.")
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), help="Write before and after here.")
@click.option(
    "--learners",
    type=click.IntRange(100, 100_000),
    default=LEARNERS,
    show_default=True,
    help="Learners of the history.",
)
def command(once: bool, out: Path | None, learners: int) -> None:
    """Show all of it on this machine: history, model, clicks, changed lists, a new course, fine-tuning.

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
        url, finetuner = bring_up(stack, console, learners)
        change, course, shift = live(stack, console, url, finetuner, learners)
        Console().print(before_and_after(change))
        click.echo(of_new_course(course))
        Console().print(places(shift))
        click.echo(of_finetuning(shift))
        if out is not None:
            told = summary(change, course, shift, url)
            out.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
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


def bring_up(stack: DemoStack, console: Console, learners: int) -> tuple[str, RunningFinetuner]:
    """From nothing to an API that ranks with a trained model, and a fine-tuner; returns the API's URL, too."""
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
    with step(console, "start the API and the fine-tuner"):
        finetuner = RunningFinetuner(stack.log("finetune"))
        stack.start("finetune", settings=finetuner.settings)  # its imports take seconds, and nothing waits for them yet
        return stack.start_api(), finetuner


def live(
    stack: DemoStack, console: Console, url: str, finetuner: RunningFinetuner, learners: int
) -> tuple[Change, CameAndWent, TasteShift]:
    """A learner clicks on a subject they have not touched, others follow; a course of that subject comes and goes."""
    history = stack.directory / "history"
    courses, interactions = (
        read_courses(history / "courses.parquet"),
        read_interactions(history / "interactions.parquet"),
    )
    user_id, course_ids = choose_clicks(interactions, courses)
    others = choose_others(interactions, courses, user_id, learners)
    learner = LiveLearner(url, user_id)
    try:
        with step(console, f"a learner clicks on {CLICKS} courses of another subject"):
            _wait(stack, lambda: learner.ask().model is not None, _PUBLISHED_SECONDS, "an answer ranked by the model")
            learner.click_and_watch(course_ids[:1])  # the first request of a process pays for its connections
            change = learner.click_and_watch(course_ids[1:])
        clicks = clicks_of_others(courses, others, course_ids, now_ms())
        with step(console, f"{len(others)} others turn to that subject, too"):
            learner.with_others(clicks)
            clicked_at = time.monotonic()
        (first,) = courses_in(courses[courses["course_id"] == course_ids[0]])
        new = msgspec.structs.replace(first, course_id=f"{first.course_id}-new", title=f"New: {first.title}")
        with step(console, "a new course comes into the catalogue and is retired"):
            came_and_went = come_and_go(learner, publisher(stack.settings), new, course_ids)
        with step(console, "the fine-tuner learns from the clicks, and its gate judges"):
            popular = popular_now(learner, course_ids[0], clicked_at)
            tuned = _after_finetuning(stack, finetuner, learner, course_ids)
        shift = TasteShift(
            subject=str(courses.set_index("course_id").loc[course_ids[0], "category"]),
            others=len(others),
            clicks=len(clicks),
            before=change.before,
            clicked=change.after,
            popular=popular if popular.model == change.after.model else None,
            tuned=tuned,
            learned=finetuner.learned,
            verdicts=finetuner.verdicts(),
        )
        return change, came_and_went, shift
    finally:
        learner.close()


def _after_finetuning(
    stack: DemoStack, finetuner: RunningFinetuner, learner: LiveLearner, course_ids: Sequence[str]
) -> Answer:
    """The learner's list once the fine-tuner took all clicks in; ranked by its increment where it published one."""
    status = asyncio.run(read_status(stack.settings))
    logs = [(each.log_start or 0, each.log_end or 0) for each in status.partitions]
    _wait(stack, lambda: finetuner.through(logs), _FINETUNED_SECONDS, "the fine-tuner's verdict")
    return tuned_list(learner, course_ids, lambda: asyncio.run(read_status(stack.settings)).model)


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
