"""Seconds until answers follow what an operator changed: a new course, a retired one, a rollback of the model.

    python -m benchmarks.followed_changes [--interactions F --courses F] [--rate 300] [--rounds 10] [--json OUT]

MARS, or simulated learners, in a real Kafka and Redis; a model learned from the topic, one worker, the API, events at a
steady rate. Each clock starts before the change is sent, and answers are asked for one by one, all the time:

- A new course has the text of one that exists, and a learner who viewed courses of its category views another one each
  half second. The clock stops at the first answer that has it.
- A retired course (a null value) is the one that most of 50 learners' answers have. The clock stops at the last answer
  of theirs that has it; 5 s more are asked for.
- A rollback is `recsys models rollback` from an increment, once the answer of one of ten learners is from that. The
  clock starts with the command's process, and stops when the answers of all ten are from the model before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.click_to_answer import RECSYS, TOPIC, System, everything, files
from benchmarks.event_load import event_load
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
LISTS_BEHIND = 12
MOVED = 0.5
"""Standard deviation of what the increment adds to the courses' biases."""


class Site:
    """Learners at the API.

    Args:
        client: Of the API.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._views = client, 0

    def ask(self, user: str) -> dict[str, Any]:
        """The answer for a learner."""
        response = self._client.get(f"/v1/users/{user}/recommendations", params={"n": 20}).raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def courses(self, user: str) -> list[str]:
        """Those of a learner's answer."""
        return [each["course_id"] for each in self.ask(user)["recommendations"]]

    def view(self, user: str, course_id: str) -> None:
        """An event of a learner."""
        self._views += 1
        event = {"event_id": f"view-{self._views}", "user_id": user, "course_id": course_id, "type": "view"}
        self._client.post("/v1/events", json=event | {"timestamp": now_ms()}).raise_for_status()

    def until_cached(self, user: str) -> None:
        """Returns when the learner's answers come from a list that a worker wrote."""
        deadline = time.monotonic() + WITHIN_S
        while self.ask(user)["source"] != "cached":
            if time.monotonic() > deadline:
                raise SystemExit(f"expected a cached list of {user} within {WITHIN_S:g} s")
            time.sleep(0.1)


def until_listed(site: Site, publish: Publish, number: int, alike: Sequence[Course]) -> float:
    """Seconds from a new course's record to an answer that has it."""
    fan, first = f"fan-{number}", alike[0]
    for course in alike[:3]:
        site.view(fan, course.course_id)
    site.until_cached(fan)
    new = msgspec.structs.replace(first, course_id=f"new-{number}", title=f"{first.title} II")
    views, began = itertools.cycle(alike[1:]), time.perf_counter()
    publish(new.course_id, encode_course(new))
    views_next = began
    while new.course_id not in site.courses(fan):
        now = time.perf_counter()
        if now - began > WITHIN_S:
            raise SystemExit(f"expected {new.course_id} on a list within {WITHIN_S:g} s of its record")
        if now > views_next:
            site.view(fan, next(views).course_id)
            views_next = now + VIEWS_EVERY_S
    return time.perf_counter() - began


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


def measured(system: System, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """All rounds; the first new course is the first that the loaded model places."""
    events = read_interactions(arguments.interactions)
    catalogue = load_bundle(next(Path(system.env["RECSYS_MODELS_DIR"]).glob("*T*"))).courses
    touched = events["course_id"].value_counts().index
    by_id = {course.course_id: course for course in catalogue}
    subjects: dict[str, list[Course]] = {}
    for course in (by_id[course_id] for course_id in touched if course_id in by_id):
        subjects.setdefault(course.category, []).append(course)
    largest = sorted(subjects.values(), key=len, reverse=True)
    latest = list(dict.fromkeys(events.sort_values("timestamp")["user_id"][::-1]))[:LEARNERS]
    publish = publisher(settings_of(system))
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        site = Site(stack.enter_context(httpx.Client(base_url=system.api, timeout=10)))
        everybody, courses = sorted(set(events["user_id"])), sorted(by_id)
        stack.enter_context(event_load(system.kafka, TOPIC, arguments.rate, everybody, courses, seed=1))
        time.sleep(arguments.warm_up)
        for user in latest[:OF_A_ROLLBACK]:
            site.until_cached(user)
        rounds = range(arguments.rounds)
        found["rollback"] = [until_back(site, system, latest[:OF_A_ROLLBACK]) for _ in rounds]
        found["new course"] = [until_listed(site, publish, n, largest[n % len(largest)][:12]) for n in rounds]
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
