"""Click to changed answer: milliseconds from `POST /v1/events` to a changed `GET …/recommendations`.

    python benchmarks/click_to_answer.py [--interactions F --courses F] [--clicks 200] [--json OUT]
    python benchmarks/click_to_answer.py --url http://127.0.0.1:8080 --interactions F --courses F

Without files it takes MARS from RECSYS_DATA_DIR (default ../shared/data), and simulates learners where that is not at
hand. Without --url it brings up a real Kafka and Redis, replays the files, retrains, and starts one worker and the API.
Each click is a learner of the file opening a course; the clock starts before the POST is sent and stops when a GET has
returned another list (ids or scores) than the one before the click. One client, one connection, clicks one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from recsys.files import read_courses, read_interactions

HERE = Path(__file__).parent
CHANGE_WITHIN_S = 10.0
RECSYS = [sys.executable, "-m", "recsys.cli"]


@contextmanager
def running(arguments: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([*RECSYS, *arguments], env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


@contextmanager
def everything(arguments: argparse.Namespace) -> Iterator[str]:
    """Kafka, Redis, history, model, worker, API; yields the API's address."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": stack.enter_context(LocalKafka()).bootstrap_servers,
            "REDIS_URL": stack.enter_context(LocalRedis()).url,
            "RECSYS_MODELS_DIR": f"{folder}/models",
            "RECSYS_REPORTS_DIR": f"{folder}/reports",
            "RECSYS_SERVING_STATE_DIR": f"{folder}/serving",
        }
        files = ["--interactions", str(arguments.interactions), "--courses", str(arguments.courses)]
        for command in (["topics", "--partitions", "6"], ["replay", *files]):
            subprocess.run([*RECSYS, *command], env=env, check=True)
        stack.enter_context(running(["stream"], env))
        subprocess.run([*RECSYS, "retrain", "--from-topic"], env=env, check=True, stdout=subprocess.DEVNULL)
        api = stack.enter_context(running(["serve", "--port", "0"], env))
        yield next(iter(api.stdout or ())).split()[-1]


def files(folder: Path) -> tuple[Path, Path]:
    """MARS in the neutral form, or simulated learners."""
    data = Path(os.environ.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / "mars"
    command = ["import", "mars", "--source", str(data)] if data.is_dir() else ["simulate"]
    subprocess.run([*RECSYS, *command, "--out", str(folder)], check=True)
    return folder / "interactions.parquet", folder / "courses.parquet"


def answer(client: httpx.Client, user: str) -> list[Any]:
    response = client.get(f"/v1/users/{user}/recommendations", params={"n": 20})
    response.raise_for_status()
    return [(course["course_id"], course["score"]) for course in response.json()["recommendations"]]


def click(client: httpx.Client, user: str, course: str) -> float:
    """Milliseconds until the answer is another one."""
    before = answer(client, user)
    event = {
        "event_id": uuid.uuid4().hex,
        "user_id": user,
        "course_id": course,
        "type": "click",
        "timestamp": time.time_ns() // 1_000_000,
    }
    start = time.perf_counter()
    client.post("/v1/events", json=event).raise_for_status()
    while answer(client, user) == before:
        if time.perf_counter() - start > CHANGE_WITHIN_S:
            raise SystemExit(f"expected another answer for {user} within {CHANGE_WITHIN_S} s of a click, received none")
    return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--courses", type=Path)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--url")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (arguments.interactions is None) != (arguments.courses is None) or (arguments.url and not arguments.courses):
        parser.error("expected --interactions together with --courses, and both with --url")
    rng = random.Random(arguments.seed)
    with ExitStack() as stack:
        if arguments.interactions is None:
            arguments.interactions, arguments.courses = files(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        users = sorted(set(read_interactions(arguments.interactions)["user_id"]))
        courses = sorted(read_courses(arguments.courses)["course_id"])
        url = arguments.url or stack.enter_context(everything(arguments))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=10))
        for _ in range(10):  # connections, caches and the loaded bundle are not what is measured
            click(client, rng.choice(users), rng.choice(courses))
        waits = [click(client, rng.choice(users), rng.choice(courses)) for _ in range(arguments.clicks)]
    p50, p99 = np.percentile(waits, [50, 99])
    print(f"{len(waits)} clicks: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {max(waits):.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps({"p50_ms": p50, "p99_ms": p99, "ms": waits}))


if __name__ == "__main__":
    main()
