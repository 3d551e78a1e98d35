"""Click to changed answer: milliseconds from `POST /v1/events` to a `GET …/recommendations` that contains the click.

    python -m benchmarks.click_to_answer [--interactions F --courses F] [--clicks 200] [--rate 0] [--json OUT]
    python -m benchmarks.click_to_answer --rate 100 500 1000 2000 4000 8000 --plot curve.png
    python -m benchmarks.click_to_answer --url http://127.0.0.1:8080 --interactions F --courses F

Without files it takes MARS from RECSYS_DATA_DIR (default ../shared/data), and simulates learners where that is not at
hand. Without --url it brings up a real Kafka and Redis, replays the files, retrains, and starts one worker and the API.

Each click is a learner of the file opening the first course of their list; the clock starts before the POST is sent and
stops when an answer lacks the course, which a list that contains the click leaves out. Answers are asked for with the
offset that the POST returned (`after_offset`), or with --polling without it, again and again. One client, one
connection, clicks one by one. With --rate R a process of its own sends R events a second of the same learners straight
to Kafka meanwhile; several rates make a table of the stages (`recsys_freshness_seconds`) and, with --plot, the curve.
A broker compiles its code in its first half minute and takes most of a core for that, so the load runs for --warm-up
seconds before the first click.

`late` counts answers that said `fresh: false`; `missed` those that said `fresh: true` and still showed the course.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from benchmarks.click_report import Clicks, plot, tables
from benchmarks.event_load import event_load
from benchmarks.stages import Snapshot
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import free_port
from recsys.files import read_courses, read_interactions

HERE = Path(__file__).parent
CHANGE_WITHIN_S = 30.0
WARM_UP_CLICKS = 20
RECSYS = [sys.executable, "-m", "recsys.cli"]
TOPIC = "interactions"


@dataclass(frozen=True, slots=True)
class System:
    """What is measured.

    Attributes:
        api: Its address.
        kafka: Bootstrap servers; "" where they are not known.
        metrics: Addresses whose `/metrics` tell the stages.
        env: Of a process that shall belong to it.
    """

    api: str
    kafka: str = ""
    metrics: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)


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
def everything(arguments: argparse.Namespace) -> Iterator[System]:
    """Kafka, Redis, history, model, worker, API."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        kafka = stack.enter_context(LocalKafka()).bootstrap_servers
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "REDIS_URL": stack.enter_context(LocalRedis()).url,
            "RECSYS_INTERACTIONS_TOPIC": TOPIC,
            "RECSYS_MODELS_DIR": f"{folder}/models",
            "RECSYS_REPORTS_DIR": f"{folder}/reports",
            "RECSYS_SERVING_STATE_DIR": f"{folder}/serving",
        }
        files = ["--interactions", str(arguments.interactions), "--courses", str(arguments.courses)]
        for command in (["topics", "--partitions", str(arguments.partitions)], ["replay", *files]):
            subprocess.run([*RECSYS, *command], env=env, check=True)
        learn = ["retrain", "--from-topic"]
        if arguments.bundle:
            env["RECSYS_MODELS_DIR"] = str(arguments.bundle.resolve().parent)
            learn = ["models", "rollback", arguments.bundle.name, "--never-published"]
        ports = [free_port() for _ in range(arguments.workers)]
        for each in ports:
            stack.enter_context(running(["stream"], {**env, "RECSYS_WORKER_METRICS_PORT": str(each)}))
        subprocess.run([*RECSYS, *learn], env=env, check=True, stdout=subprocess.DEVNULL)
        api = stack.enter_context(running(["serve", "--port", "0"], env))
        url = next(iter(api.stdout or ())).split()[-1]
        yield System(url, kafka, (*(f"http://127.0.0.1:{each}" for each in ports), url), env)


def files(folder: Path) -> tuple[Path, Path]:
    """MARS in the neutral form, or simulated learners."""
    data = Path(os.environ.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / "mars"
    found = data.is_dir()
    print(f"MARS from {data}" if found else f"no MARS at {data} (RECSYS_DATA_DIR): learners are simulated", flush=True)
    command = ["import", "mars", "--source", str(data)] if found else ["simulate"]
    subprocess.run([*RECSYS, *command, "--out", str(folder)], check=True)
    return folder / "interactions.parquet", folder / "courses.parquet"


def answer(client: httpx.Client, user: str, **parameters: int) -> dict[str, Any]:
    response = client.get(f"/v1/users/{user}/recommendations", params={"n": 20, **parameters})
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


def click(client: httpx.Client, user: str, clicks: Clicks, *, polling: bool) -> None:
    """One click, and asking until an answer contains it."""
    course = answer(client, user)["recommendations"][0]["course_id"]
    event = {
        "event_id": uuid.uuid4().hex,
        "user_id": user,
        "course_id": course,
        "type": "click",
        "timestamp": time.time_ns() // 1_000_000,
    }
    start = time.perf_counter()
    (stored,) = client.post("/v1/events", json=event).raise_for_status().json()["events"]
    after = {} if polling else {"after_offset": stored["offset"], "after_partition": stored["partition"]}
    while True:
        body = answer(client, user, **after)
        took = time.perf_counter() - start
        shown = any(each["course_id"] == course for each in body["recommendations"])
        if not shown:
            break
        clicks.late += body["fresh"] is False
        clicks.missed += body["fresh"] is True
        if took > CHANGE_WITHIN_S:
            raise SystemExit(f"expected an answer without {course} within {CHANGE_WITHIN_S:g} s of its click")
    clicks.ms.append(1000 * took)
    clicks.ranked += body["source"] == "model"


def measure(
    system: System, arguments: argparse.Namespace, rate: float, users: Sequence[str], courses: Sequence[str]
) -> Clicks:
    """All clicks at one rate."""
    rng, clicks = random.Random(arguments.seed), Clicks(rate)
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=system.api, timeout=10))
        load = stack.enter_context(event_load(system.kafka, TOPIC, rate, users, courses, seed=1)) if rate else None
        for _ in range(WARM_UP_CLICKS):  # connections, caches and the loaded bundle are not what is measured
            click(client, rng.choice(users), Clicks(rate), polling=arguments.polling)
        if load is not None:
            time.sleep(arguments.warm_up)
            load.begin()
        before, began = Snapshot.read(system.metrics), time.perf_counter()
        for _ in range(arguments.clicks):
            click(client, rng.choice(users), clicks, polling=arguments.polling)
        after, took = Snapshot.read(system.metrics), time.perf_counter() - began
        clicks.sent_per_s = load.per_s if load is not None else 0.0
    clicks.lists_per_s = after.since(before, "recsys_top_refreshed_total") / took
    clicks.chunks_per_s = after.since(before, "recsys_chunk_seconds_count") / took
    clicks.cores = after.since(before, "process_cpu_seconds_total") / took
    stages = [
        ("acknowledged", "recsys_produce_seconds", {}),
        *((stage, "recsys_freshness_seconds", {"stage": stage}) for stage in ("folded", "refreshed", "readable")),
        ("of folded: chunk", "recsys_chunk_seconds", {}),
        ("event to list", "recsys_event_to_list_seconds", {}),
        ("waited", "recsys_after_offset_wait_seconds", {}),
    ]
    for stage, name, labels in stages:
        observed = after.histogram(before, name, **labels)
        if observed.count:
            clicks.stages[stage] = (observed.mean_ms, observed.quantile_ms(0.5), observed.quantile_ms(0.99))
    return clicks


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--courses", type=Path)
    parser.add_argument("--clicks", type=int, default=200, help="at each rate")
    parser.add_argument("--rate", type=float, nargs="+", default=[0.0], help="events a second beside the clicks")
    parser.add_argument("--workers", type=int, default=1, help="engagement workers")
    parser.add_argument("--partitions", type=int, default=6, help="of the topic")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds of load before the first click")
    parser.add_argument("--polling", action="store_true", help="without after_offset")
    parser.add_argument("--bundle", type=Path, help="a model trained before on these files: spares the retrain")
    parser.add_argument("--url")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    if (arguments.interactions is None) != (arguments.courses is None) or (arguments.url and not arguments.courses):
        parser.error("expected --interactions together with --courses, and both with --url")
    if arguments.url and any(arguments.rate):
        parser.error("expected --rate without --url: the load goes to the Kafka that is started here")
    return arguments


def main() -> None:
    arguments, console = parsed(), Console(width=150)
    with ExitStack() as stack:
        if arguments.interactions is None:
            arguments.interactions, arguments.courses = files(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        users = sorted(set(read_interactions(arguments.interactions)["user_id"]))
        courses = sorted(read_courses(arguments.courses)["course_id"])
        system = System(arguments.url) if arguments.url else stack.enter_context(everything(arguments))
        results = []
        for rate in arguments.rate:
            results.append(measure(system, arguments, rate, users, courses))
            one = results[-1]
            p50, p99 = np.percentile(one.ms, [50, 99])
            console.print(
                f"{len(one.ms)} clicks at {rate:g} events/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest "
                f"{max(one.ms):.1f} ms, late {one.late}, missed {one.missed}"
            )
    for table in tables(results):
        console.print(table)
    if arguments.plot:
        plot(results, arguments.plot)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in results]))


if __name__ == "__main__":
    main()
