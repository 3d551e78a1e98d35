"""What a soak sends and asks: events of a bounded universe of learners and courses, and a client of the API."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from recsys.kafka.bulk_producer import Record

LEARNERS, COURSES = 1000, 200
TYPES = {
    "view": 600,
    "click": 250,
    "play": 70,
    "progress": 50,
    "bookmark": 15,
    "rate": 10,
    "enroll": 4,
    "dismiss": 1,
    "unenroll": 1,
}
DUPLICATES, POISON = 0.01, 0.002
GETS_PER_S = 10.0
"""Fills the API's own cache of the universe's learners within the warm-up."""
RECSYS = [sys.executable, "-m", "recsys.cli"]


@dataclass
class Load:
    """What was sent and asked so far; each counter has one writing thread."""

    stop: threading.Event = field(default_factory=threading.Event)
    sent: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    get_ms: list[float] = field(default_factory=list)
    ended_by: str | None = None

    def end(self, number: int, _frame: FrameType | None) -> None:
        """A signal ends the soak early, with its report."""
        self.ended_by = signal.Signals(number).name
        self.stop.set()


def records(load: Load, seed: int) -> Iterator[Record]:
    """Events for ever, until told to stop: few learners and courses are busy, most are not."""
    rng = random.Random(seed)
    users, courses = [f"learner-{i:05}" for i in range(LEARNERS)], [f"course-{i:04}" for i in range(COURSES)]
    user_weights, course_weights, type_weights = (
        list(itertools.accumulate(weights))
        for weights in ([1 / (i + 50) for i in range(LEARNERS)], [1 / (i + 50) for i in range(COURSES)], TYPES.values())
    )
    last: Record | None = None
    for number in itertools.count():
        if load.stop.is_set():
            return
        (user,), (course,), (kind,) = (
            rng.choices(users, cum_weights=user_weights),
            rng.choices(courses, cum_weights=course_weights),
            rng.choices(list(TYPES), cum_weights=type_weights),
        )
        draw = rng.random()
        if draw < POISON:
            load.sent["poison"] += 1
            yield Record(user.encode(), b'{"event_id": "' + str(number).encode())
        elif draw < POISON + DUPLICATES and last is not None:
            load.sent["repeated"] += 1
            yield last
        else:
            load.sent["events"] += 1
            last = Record(user.encode(), event(number, user, course, kind, rng))
            yield last


def event(number: int, user: str, course: str, kind: str, rng: random.Random) -> bytes:
    fields: dict[str, Any] = {"event_id": f"soak-{number}", "user_id": user, "course_id": course, "type": kind}
    fields["timestamp"] = time.time_ns() // 1_000_000 - rng.randrange(60_000)
    if kind in ("progress", "rate"):
        fields["value"] = round(rng.random(), 2) if kind == "progress" else rng.randint(1, 5)
    return json.dumps(fields).encode()


def ask(load: Load, url: str, seed: int) -> None:
    """GETs at a steady rate; what is not a 200 is counted, never raised."""
    rng = random.Random(seed)
    with httpx.Client(base_url=url, timeout=5) as client:
        while not load.stop.wait(1 / GETS_PER_S):
            started = time.perf_counter()
            try:
                answer = client.get(f"/v1/users/learner-{rng.randrange(LEARNERS):05}/recommendations")
                load.answers[answer.json()["source"] if answer.is_success else str(answer.status_code)] += 1
            except (httpx.HTTPError, ValueError, KeyError) as error:
                load.answers[type(error).__name__] += 1
            load.get_ms.append((time.perf_counter() - started) * 1000)


def history(folder: Path, env: dict[str, str]) -> None:
    """A model for the soak's learners and courses, from simulated history in their names."""
    rng = random.Random(0)
    day_ms, now_ms = 86_400_000, time.time_ns() // 1_000_000
    rows = ["event_id,user_id,course_id,type,timestamp,value"]
    for number in range(20_000):
        learner = rng.randrange(LEARNERS)
        course = (learner % 10 * 20 + int(rng.expovariate(0.08))) % COURSES
        rows.append(f"h{number},learner-{learner:05},course-{course:04},view,{now_ms - rng.randrange(60 * day_ms)},")
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    courses = [f"course-{i:04},Course {i},About subject {i // 20},skill {i % 20}" for i in range(COURSES)]
    (folder / "courses.csv").write_text("\n".join(["course_id,title,intro,skills", *courses]) + "\n")
    files = ["--interactions", str(folder / "interactions.csv"), "--courses", str(folder / "courses.csv")]
    subprocess.run([*RECSYS, "retrain", *files], env=env, check=True, stdout=subprocess.DEVNULL)
