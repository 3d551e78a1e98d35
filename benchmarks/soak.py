"""A soak at a steady rate on a real Kafka and Redis: does memory, do descriptors, do Redis's keys stay where they are?

    python benchmarks/soak.py [--minutes 60] [--rate 300] [--workers 2] [--json reports/soak.json]

It starts everything itself: services, a model trained on simulated history, the workers and one API. Then a producer
sends events of a bounded universe of learners and courses (1 % sent twice, 0.2 % no events at all) while a client
asks for recommendations. Every 15 s: resident memory and open descriptors of each process from /proc, Redis's memory
and key count, lag. JSON and a plot (same name, .png) are written at the end; Ctrl-C ends early, with the report.

Memory is judged after a warm-up: a Python process grows until its caches are full. The largest is `recsys/keys.py`'s
of 262,144 user ids; a universe of 1,000 learners fills what it can of it within seconds, and 200 courses a learner's
engagement within the warm-up. The dedupe window is 3 minutes here, so that remembered ids come to a plateau too.
Exit status 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
import redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infra.local_kafka import LocalKafka
from infra.local_redis import LocalRedis
from infra.processes import Child, tail
from infra.producing import Record, connect, produce
from infra.status import read_status
from recsys.errors import RecsysError
from recsys.settings import Settings, load_settings

mpl.use("Agg")  # no display, whatever the environment says; before pyplot is imported

import matplotlib.pyplot as plt

LEARNERS, COURSES, PARTITIONS = 1000, 200, 6
TYPES = {"view": 600, "click": 250, "play": 70, "progress": 50, "bookmark": 15, "rate": 10, "enroll": 4, "dismiss": 1}
DUPLICATES, POISON = 0.01, 0.002
DEDUPE_WINDOW_HOURS = 0.05
SAMPLE_EVERY_S = 15.0
GETS_PER_S = 10.0
"""Fills the API's own cache of the universe's learners within the warm-up."""
DRAIN_S = 60.0
JUDGE_FROM_MINUTES = 30.0
MAX_SLOPE = 1.0
MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
RECSYS = [sys.executable, "-m", "recsys.cli"]
THEIRS = ("redis", "kafka")  # watched, not judged

KEYS_OF_A_LEARNER = 4  # engagement, done, bot, top
KEYS_OF_A_SHARD = 7  # fence, counts, trend, dirty, three buckets of ids
OTHER_KEYS = 8  # topology, two model pointers, trending and its lease, spare
MOST_KEYS = LEARNERS * KEYS_OF_A_LEARNER + PARTITIONS * KEYS_OF_A_SHARD + OTHER_KEYS


@dataclass(frozen=True)
class Sample:
    """One look. Times in s since the load began, memory in MiB."""

    at_s: float
    rss: dict[str, float]
    descriptors: dict[str, int]
    redis_mib: float
    redis_keys: int
    lag: int
    load_average: float


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
            yield user.encode(), b'{"event_id": "' + str(number).encode()
        elif draw < POISON + DUPLICATES and last is not None:
            load.sent["repeated"] += 1
            yield last
        else:
            load.sent["events"] += 1
            last = user.encode(), event(number, user, course, kind, rng)
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


def announced_url(api: Child) -> str:
    """Waits for the API's own line, which names its port."""

    def found() -> list[str]:
        return [word for word in api.log.read_text().split() if word.startswith("http://127.0.0.1:")]

    api.wait_until(lambda: bool(found()), seconds=60)
    return found()[0]


def look(at_s: float, pids: dict[str, int], settings: Settings) -> Sample:
    with redis.Redis.from_url(settings.redis_url) as client:
        memory, keys = client.info("memory")["used_memory"], client.dbsize()
    return Sample(
        at_s=round(at_s, 1),
        rss={name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MIB for name, pid in pids.items()},
        descriptors={name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()},  # noqa: PTH208 - names do
        redis_mib=memory / MIB,
        redis_keys=keys,
        lag=asyncio.run(read_status(settings)).lag,
        load_average=os.getloadavg()[0],
    )


def watch(children: list[Child], pids: dict[str, int], settings: Settings, load: Load, seconds: float) -> list[Sample]:
    """Looks every `SAMPLE_EVERY_S` until the time is over, somebody says stop, or a child has ended."""
    samples: list[Sample] = []
    started = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("soak", total=seconds)
        while (at_s := time.monotonic() - started) <= seconds and not dead(children):
            samples.append(look(at_s, pids, settings))
            progress.update(task, completed=at_s, description=line(samples[-1]))
            if not console.is_terminal:
                print(line(samples[-1]), file=sys.stderr, flush=True)
            if load.stop.wait(min(SAMPLE_EVERY_S, max(0.05, seconds - at_s))):
                break
    return samples


def dead(children: list[Child]) -> dict[str, str]:
    """The children that have ended, with the end of their logs."""
    return {
        child.name: f"exit status {child.exit_code}: {tail(child.log)}"
        for child in children
        if child.exit_code is not None
    }


def line(sample: Sample) -> str:
    rss = "  ".join(f"{name} {size:.1f}" for name, size in sample.rss.items())
    return (
        f"{sample.at_s / 60:5.1f} min  MiB: {rss}  Redis {sample.redis_mib:.1f} MiB, {sample.redis_keys} keys  "
        f"lag {sample.lag}  load {sample.load_average:.1f}"
    )


def drained(settings: Settings) -> tuple[dict[str, int], int, int]:
    """Waits for the workers to catch up; the counters, the records in the topic, and the lag that is left."""
    give_up = time.monotonic() + DRAIN_S
    while (status := asyncio.run(read_status(settings))).lag and time.monotonic() < give_up:
        time.sleep(0.5)
    return dict(status.counts), sum(each.log_end for each in status.partitions), status.lag


def soak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything from services to figures; nothing runs any more when it returns."""
    load = Load()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recsys-soak-")))
        kafka, store = stack.enter_context(LocalKafka()), stack.enter_context(LocalRedis())
        settings = load_settings(kafka_bootstrap_servers=kafka.bootstrap_servers, redis_url=store.url)
        env = environment(settings, folder)
        subprocess.run([*RECSYS, "topics", "--partitions", str(PARTITIONS)], env=env, check=True)
        history(folder, env)
        children = []
        commands = [[f"worker-{i + 1}", "stream", "--worker-id", f"soak-{i + 1}"] for i in range(arguments.workers)]
        for name, *command in [*commands, ["api", "serve", "--port", "0"]]:
            children.append(Child(name, [*RECSYS, *command], log=folder / f"{name}.log", environment=env))
            stack.callback(children[-1].stop)
        url = announced_url(children[-1])
        pids = {child.name: child.pid for child in children} | {"redis": store.pid or 0, "kafka": kafka.pid or 0}
        producer = connect(settings, settings.interactions_topic)
        stack.callback(producer.close, timeout=1)
        with ThreadPoolExecutor(2) as pool:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, load.end)
            try:
                topic = settings.interactions_topic
                sending = pool.submit(produce, producer, topic, records(load, arguments.seed), rate=arguments.rate)
                sending.add_done_callback(lambda _: load.stop.set())  # a producer that failed ends the soak
                pool.submit(ask, load, url, arguments.seed)
                samples = watch(children, pids, settings, load, arguments.minutes * 60)
            finally:
                load.stop.set()
            produced = sending.result()
        counts, in_topic, lag = drained(settings)
        ended = dead(children)
    accounts = {"produced": produced, "in_topic": in_topic, "sent": dict(load.sent), "counts": counts, "lag_left": lag}
    return figures(arguments, samples, accounts, load) | {"ended": ended}


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "REDIS_URL": settings.redis_url,
        "RECSYS_DEDUPE_WINDOW_HOURS": str(DEDUPE_WINDOW_HOURS),
        "RECSYS_MODELS_DIR": f"{folder}/models",
        "RECSYS_REPORTS_DIR": f"{folder}/reports",
        "RECSYS_SERVING_STATE_DIR": f"{folder}/serving",
    }


def slope_per_hour(samples: list[Sample], process: str) -> float | None:
    """Least-squares slope of resident memory, MiB an hour; None with fewer than three samples."""
    if len(samples) < 3:
        return None
    return float(np.polyfit([sample.at_s / 3600 for sample in samples], [s.rss[process] for s in samples], 1)[0])


def figures(
    arguments: argparse.Namespace, samples: list[Sample], accounts: dict[str, Any], load: Load
) -> dict[str, Any]:
    warm = [sample for sample in samples if sample.at_s >= arguments.warm_up * 60]
    judged = warm or samples
    p50, p99 = np.percentile(load.get_ms or [0.0], [50, 99])
    return {
        "rate": arguments.rate,
        "ended_by": load.ended_by,
        "minutes": samples[-1].at_s / 60,
        "minutes_after_warm_up": (warm[-1].at_s - warm[0].at_s) / 60 if warm else 0.0,
        "processes": {
            name: {
                "slope_mib_per_hour": slope_per_hour(warm, name),
                "first_mib": judged[0].rss[name],
                "last_mib": judged[-1].rss[name],
                "descriptors": [
                    min(sample.descriptors[name] for sample in judged),
                    max(sample.descriptors[name] for sample in judged),
                ],
            }
            for name in samples[0].rss
        },
        "redis": {
            "keys_max": max(sample.redis_keys for sample in samples),
            "keys_bound": MOST_KEYS,
            "first_mib": judged[0].redis_mib,
            "last_mib": judged[-1].redis_mib,
        },
        "lag_max": max(sample.lag for sample in samples),
        "lag_max_after_warm_up": max(sample.lag for sample in judged),
        "load_average": [min(s.load_average for s in samples), max(s.load_average for s in samples)],
        "gets": {"answers": dict(load.answers), "p50_ms": p50, "p99_ms": p99},
        "accounts": accounts,
        "samples": [asdict(sample) for sample in samples],
    }


def held(figures: dict[str, Any]) -> dict[str, bool | None]:
    """What must hold, and whether it did; None where the run was too short to say."""
    accounts, long_enough = figures["accounts"], figures["minutes_after_warm_up"] >= JUDGE_FROM_MINUTES
    counts, sent = accounts["counts"], accounts["sent"]
    applied = [counts.get(outcome, 0) for outcome in ("accepted", "duplicate", "refused")]
    ours = [process for name, process in figures["processes"].items() if name not in THEIRS]
    steady = all(process["slope_mib_per_hour"] < MAX_SLOPE for process in ours) if long_enough else None
    flat = all(most - least <= 4 for least, most in (process["descriptors"] for process in ours))
    return {
        "every process stayed up": not figures["ended"],
        "accepted + duplicate + refused = produced": sum(applied) == accounts["produced"] == accounts["in_topic"],
        "each outcome as sent": applied == [sent.get(kind, 0) for kind in ("events", "repeated", "poison")],
        "Redis keys bounded by the universe": figures["redis"]["keys_max"] <= figures["redis"]["keys_bound"],
        "every GET answered": set(figures["gets"]["answers"]) <= {"cached", "process-cache", "model"},
        "descriptors flat (±2)": flat if figures["minutes_after_warm_up"] else None,
        f"memory slope < {MAX_SLOPE:g} MiB/h": steady,
    }


def report(figures: dict[str, Any]) -> None:
    judged = figures["minutes_after_warm_up"]
    if figures["ended_by"]:
        print(f"ended early by {figures['ended_by']}")
    print(f"{figures['minutes']:.1f} min at {figures['rate']:g} events/s, {judged:.1f} of them after the warm-up")
    for name, process in figures["processes"].items():
        slope = process["slope_mib_per_hour"]
        print(
            f"{name:10} {process['first_mib']:7.1f} → {process['last_mib']:7.1f} MiB   "
            f"slope {'      —' if slope is None else f'{slope:+7.2f}'} MiB/h   "
            f"descriptors {process['descriptors'][0]}–{process['descriptors'][1]}"
        )
    redis_figures, gets, accounts = figures["redis"], figures["gets"], figures["accounts"]
    print(
        f"Redis      {redis_figures['first_mib']:7.1f} → {redis_figures['last_mib']:7.1f} MiB used   "
        f"at most {redis_figures['keys_max']} keys (bound {redis_figures['keys_bound']})"
    )
    print(f"lag        at most {figures['lag_max']} records, {figures['lag_max_after_warm_up']} after the warm-up")
    print(f"GETs       {gets['answers']}   p50 {gets['p50_ms']:.1f} ms, p99 {gets['p99_ms']:.1f} ms")
    print(f"records    produced {accounts['produced']}, in the topic {accounts['in_topic']}, {accounts['counts']}")
    print(f"load       {figures['load_average'][0]:.1f}–{figures['load_average'][1]:.1f} on {os.cpu_count()} cores")
    for name, why in figures["ended"].items():
        print(f"{name} ended: {why}")
    words = {True: "yes", False: "NO", None: "too short to say"}
    for what, ok in held(figures).items():
        print(f"  {what}: {words[ok]}")


def draw(figures: dict[str, Any], path: Path) -> None:
    samples = figures["samples"]
    minutes = [sample["at_s"] / 60 for sample in samples]
    figure, (memory, descriptors, keys, lag) = plt.subplots(4, 1, figsize=(9, 11), sharex=True, layout="constrained")
    for name in figures["processes"]:
        descriptors.plot(minutes, [sample["descriptors"][name] for sample in samples], label=name)
        if name not in THEIRS:  # theirs would flatten the scale of ours
            memory.plot(minutes, [sample["rss"][name] for sample in samples], label=name)
    keys.plot(minutes, [sample["redis_keys"] for sample in samples], label="keys")
    keys.axhline(MOST_KEYS, linestyle="--", color="grey", label="bound")
    lag.plot(minutes, [sample["lag"] for sample in samples], label="records")
    lag.set_xlabel("minutes")
    for axes, title in (
        (memory, "Resident memory, MiB"),
        (descriptors, "Open descriptors"),
        (keys, "Keys in Redis"),
        (lag, "Lag, records"),
    ):
        axes.set_title(title)
        axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the soak (default 60)")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second (default 300)")
    parser.add_argument("--workers", type=int, default=2, help="engagement workers (default 2)")
    parser.add_argument("--warm-up", type=float, default=10.0, help="first minutes that are not judged (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the load (default 0)")
    parser.add_argument("--json", type=Path, default=Path("reports/soak.json"), help="default reports/soak.json")
    arguments = parser.parse_args()
    if arguments.minutes <= 0 or arguments.rate <= 0 or not 1 <= arguments.workers <= PARTITIONS:
        parser.error(f"expected minutes > 0, rate > 0 and 1 to {PARTITIONS} workers")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))  # what was started ends with it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    try:
        result = soak(arguments)
    except RecsysError as error:
        raise SystemExit(f"soak: {' '.join(str(error).split())}") from None
    except KeyboardInterrupt:  # before the load began there is nothing to report
        raise SystemExit(130) from None
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1))
    draw(result, arguments.json.with_suffix(".png"))
    report(result)
    print(f"written: {arguments.json}, {arguments.json.with_suffix('.png')}")
    sys.exit(any(ok is False for ok in held(result).values()))


if __name__ == "__main__":
    main()
