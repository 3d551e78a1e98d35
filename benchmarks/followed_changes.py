"""Seconds until answers follow what an operator changed: a new course, a retired one, a rollback of the model.

    python -m benchmarks.followed_changes [--interactions F --courses F] [--rate 300] [--rounds 10] [--json OUT]

MARS, or simulated learners, in a real Kafka and Redis; a model learned from the topic, one worker, the API, events at a
steady rate. Each clock starts before the change is sent, and answers are asked for one by one, all the time:

- A new course has the text of one that exists, each round of another category. A learner who has seen all others but
  five views one of them again each half second: theirs is a list that it is on wherever the model ranks it. One clock
  stops at the first answer that has it, whoever ranked; one at the first from a list that a worker wrote.
- A retired course (a null value) is the one that most of 50 learners' answers have. The clock stops at the last answer
  of theirs that has it; 5 s more are asked for.
- A rollback is `recsys models rollback` from an increment, once the answer of one of ten learners is from that. The
  clock starts with the command's process, and stops when the answers of all ten are from the model before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.click_to_answer import RECSYS, TOPIC, System, everything, files
from benchmarks.event_load import event_load
from benchmarks.site import Site, courses_of
from infra.devtools.new_course import Publish, publisher
from recsys.catalog import Course, encode_course
from recsys.files import read_interactions
from recsys.model.bundle import Draft, load_bundle, write_bundle
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings

WITHIN_S, QUIET_S = 60.0, 5.0
VIEWS_EVERY_S = 0.5
LEARNERS, OF_A_ROLLBACK = 50, 10
SEEN_MOST, UNSEEN = "seen-most", 5
LISTS_BEHIND = 12
MOVED = 0.5
"""Standard deviation of what the increment adds to the courses' biases."""


def until_listed(site: Site, publish: Publish, number: int, alike: Course) -> tuple[float, float]:
    """Seconds from the record of a new course to an answer that has it, and to one from a list that a worker wrote."""
    new = msgspec.structs.replace(alike, course_id=f"new-{number}", title=f"{alike.title} II")
    views_next = began = time.perf_counter()
    publish(new.course_id, encode_course(new))
    answered = listed = 0.0
    while not listed:
        answer, now = site.ask(SEEN_MOST, n=UNSEEN + 1), time.perf_counter()  # a list is used where it is as long
        if new.course_id in courses_of(answer):
            answered = answered or now - began
            listed = now - began if answer["source"] == "cached" else 0.0
        if now - began > WITHIN_S:
            raise SystemExit(f"expected {new.course_id} on a list within {WITHIN_S:g} s of its record")
        if now > views_next:
            site.view(SEEN_MOST, alike.course_id)
            views_next = now + VIEWS_EVERY_S
    site.view(SEEN_MOST, new.course_id)  # makes room on their list for the next one
    return answered, listed


def see_most(site: Site, courses: Sequence[str]) -> None:
    """Views of all courses but `UNSEEN` by one learner, minutes apart; returns when a worker lists the others."""
    for number, course_id in enumerate(courses[UNSEEN:], start=1):
        site.view(SEEN_MOST, course_id, minutes_ago=number)
    left, deadline = set(courses[:UNSEEN]), time.monotonic() + WITHIN_S
    while True:
        answer = site.ask(SEEN_MOST, n=UNSEEN)
        if answer["source"] == "cached" and left.issuperset(courses_of(answer)):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"expected a list of the other {UNSEEN} courses for {SEEN_MOST} within {WITHIN_S:g} s")
        time.sleep(0.1)


def until_gone(site: Site, publish: Publish, users: Sequence[str]) -> float:
    """Seconds from a course's null value to the last answer that has it."""
    ((course_id, _),) = Counter(course for user in users for course in site.courses(user)).most_common(1)
    began = seen = time.perf_counter()
    publish(course_id, None)
    while time.perf_counter() - seen < QUIET_S:
        for user in users:
            if course_id in site.courses(user):
                seen = time.perf_counter()
        if seen - began > WITHIN_S:
            raise SystemExit(f"expected no answer with {course_id} {WITHIN_S:g} s after it was retired")
    return seen - began


def until_back(site: Site, system: System, users: Sequence[str]) -> float:
    """Seconds from `recsys models rollback` to answers from the model before it, for all learners."""
    settings = settings_of(system)
    version, increment = asyncio.run(published_increment(settings))
    deadline = time.monotonic() + WITHIN_S
    while increment not in {site.ask(user)["model_version"] for user in users}:
        if time.monotonic() > deadline:
            raise SystemExit(f"expected an answer of {increment} within {WITHIN_S:g} s")
    began = time.perf_counter()
    with subprocess.Popen([*RECSYS, "models", "rollback"], env=dict(system.env), stdout=subprocess.DEVNULL) as command:
        while any(site.ask(user)["model_version"] != version for user in users):  # of one round: lists still change
            if time.perf_counter() - began > WITHIN_S:
                raise SystemExit(f"expected answers of {version} within {WITHIN_S:g} s of the rollback")
        took = time.perf_counter() - began
    if command.returncode:
        raise SystemExit(f"`recsys models rollback` ended with status {command.returncode}")
    return took


async def published_increment(settings: Settings) -> tuple[str, str]:
    """Publishes the model in use with other biases, as the fine-tuner does; the versions before and of it."""
    store = RedisStore.for_stream(settings.redis)
    try:
        pointer = await store.model()
        if pointer is None:
            raise SystemExit("expected a published model")
        parent = load_bundle(settings.models_dir / pointer.version)
        bias = parent.arrays["course_bias"]
        moved = bias + np.random.default_rng(0).normal(0, MOVED, bias.shape).astype(bias.dtype)
        manifest, at_ms = parent.manifest, now_ms()
        draft = Draft(
            parent=pointer.version,
            created_at_ms=at_ms,
            data=manifest.data,
            settings=manifest.settings,
            engagement=manifest.engagement,
            metrics={"model": "increment", "replaces": pointer.version},
            users=parent.users,
            courses=parent.courses,
            arrays={**parent.arrays, "course_bias": moved},
            documents=parent.documents,
        )
        bundle = write_bundle(settings.models_dir, draft)
        line = pointer.line_after(LISTS_BEHIND)
        await publish_bundle(store, bundle, replacing=pointer, at_ms=at_ms, keep=settings.models_retained, line=line)
        return pointer.version, bundle.name
    finally:
        await store.close()


def settings_of(system: System) -> Settings:
    """Those of the processes that are measured."""
    return load_settings(
        kafka_bootstrap_servers=system.kafka,
        redis_url=system.env["REDIS_URL"],
        models_dir=Path(system.env["RECSYS_MODELS_DIR"]),
    )


def most_touched(catalogue: Iterable[Course], touched: Iterable[str]) -> list[Course]:
    """The course of each category that most events are of; the category with most courses first.

    Args:
        catalogue: All courses.
        touched: Course ids, most events first.
    """
    by_id = {course.course_id: course for course in catalogue}
    categories: dict[str, list[Course]] = {}
    for course in (by_id[course_id] for course_id in touched if course_id in by_id):
        categories.setdefault(course.category, []).append(course)
    return [courses[0] for courses in sorted(categories.values(), key=len, reverse=True)]


def measured(system: System, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """All rounds; the first new course is the first that the loaded model places."""
    events = read_interactions(arguments.interactions)
    catalogue = load_bundle(next(Path(system.env["RECSYS_MODELS_DIR"]).glob("*T*"))).courses
    favourites = most_touched(catalogue, events["course_id"].value_counts().index)
    latest = list(dict.fromkeys(events.sort_values("timestamp")["user_id"][::-1]))[:LEARNERS]
    publish = publisher(settings_of(system))
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        site = Site(stack.enter_context(httpx.Client(base_url=system.api, timeout=10)))
        everybody, touches = sorted(set(events["user_id"])), list(events["course_id"])  # popular ones are drawn often
        stack.enter_context(event_load(system.kafka, TOPIC, arguments.rate, everybody, touches, seed=1))
        time.sleep(arguments.warm_up)
        for user in latest[:OF_A_ROLLBACK]:
            site.until_cached(user)
        rounds = range(arguments.rounds)
        found["rollback"] = [until_back(site, system, latest[:OF_A_ROLLBACK]) for _ in rounds]
        see_most(site, [course.course_id for course in sorted(catalogue, key=lambda course: course in favourites)])
        new = [until_listed(site, publish, n, favourites[n % len(favourites)]) for n in rounds]
        found["new course, any answer"], found["new course, a worker's list"] = map(list, zip(*new, strict=True))
        found["retired course"] = [until_gone(site, publish, latest) for _ in rounds]
    return found


def main() -> None:
    """Prints the table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--courses", type=Path)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--rounds", type=int, default=10, help="of each")
    parser.add_argument("--workers", type=int, default=1, help="engagement workers")
    parser.add_argument("--partitions", type=int, default=6, help="of the topic")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds of load before the first change")
    parser.add_argument("--bundle", type=Path, help="a model trained before on these files: spares the retrain")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (arguments.interactions is None) != (arguments.courses is None):
        parser.error("expected --interactions together with --courses")
    with ExitStack() as stack:
        if arguments.interactions is None:
            arguments.interactions, arguments.courses = files(Path(stack.enter_context(TemporaryDirectory())))
        found = measured(stack.enter_context(everything(arguments)), arguments)
    table = Table(title=f"seconds until answers follow, beside {arguments.rate:g} events/s")
    for heading in ("", "times", "median", "longest"):
        table.add_column(heading, justify="right")
    for name, seconds in found.items():
        table.add_row(name, str(len(seconds)), f"{np.median(seconds):.2f}", f"{max(seconds):.2f}")
    Console(width=100).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
