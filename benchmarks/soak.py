"""A soak at a steady rate on a real Kafka and Redis: does memory, do descriptors, do Redis's keys stay where they are?

    python benchmarks/soak.py [--minutes 60] [--rate 300] [--workers 2] [--fill 2000000] [--json reports/soak.json]

It starts everything itself: services, a model trained on simulated history, the workers and one API. Then a producer
sends events of a bounded universe of learners and courses (1 % sent twice, 0.2 % no events at all) while a client
asks for recommendations. Every 15 s: resident memory and open descriptors of each process from /proc, Redis's memory
and key count, lag. JSON and a plot (same name, .png) are written at the end; Ctrl-C ends early, with the report.

Memory is judged after a fill and a warm-up: a Python process grows until its caches are full, and with the state of the
learners that it reads. The fill sends two million events at full speed; after it nearly every learner of the universe
has a record of nearly every course.
Exit status 1 when something that must hold did not.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.soak_load import RECSYS, Load, ask, history, records
from benchmarks.soak_report import PARTITIONS, Sample, draw, figures, held, report
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import Child, tail
from infra.operator.status import read_status
from recsys.errors import RecsysError
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.settings import Settings, load_settings

SAMPLE_EVERY_S = 15.0
DRAIN_S = 60.0
MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


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


def drained(settings: Settings) -> tuple[dict[str, int], int, int | None]:
    """Waits for the workers to catch up; the counters, the records in the topic, and the lag that is left."""
    give_up = time.monotonic() + DRAIN_S
    while (status := asyncio.run(read_status(settings))).lag != 0 and time.monotonic() < give_up:
        time.sleep(0.5)
    return dict(status.counts), sum(each.log_end or 0 for each in status.partitions), status.lag


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
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, load.end)
        events = records(load, arguments.seed)
        filled = fill(producer, events, arguments.fill, settings, lambda: load.stop.is_set() or bool(dead(children)))
        with ThreadPoolExecutor(2) as pool:
            try:
                topic = settings.interactions_topic
                sending = pool.submit(produce, producer, topic, events, rate=arguments.rate)
                sending.add_done_callback(lambda _: load.stop.set())  # a producer that failed ends the soak
                pool.submit(ask, load, url, arguments.seed)
                samples = watch(children, pids, settings, load, arguments.minutes * 60)
            finally:
                load.stop.set()
            produced = filled + sending.result()
        counts, in_topic, lag = drained(settings)
        ended = dead(children)
    accounts = {"produced": produced, "in_topic": in_topic, "sent": dict(load.sent), "counts": counts, "lag_left": lag}
    report: dict[str, Any] = figures(samples, accounts, load, rate=arguments.rate, warm_up_minutes=arguments.warm_up)
    return report | {"ended": ended}


def fill(producer: Any, events: Iterator[Record], number: int, settings: Settings, ended: Callable[[], bool]) -> int:
    """Sends the first events as fast as they go and waits until they are applied, or until it is over.

    Returns how many were sent.

    After them the learners' states hardly grow any more, so that what memory grows by in the soak is not theirs.
    """
    console = Console(stderr=True)
    with console.status("fill") if console.is_terminal else nullcontext():
        sent = produce(producer, settings.interactions_topic, itertools.islice(events, number))
        print(f"fill: {sent} records sent", file=sys.stderr, flush=True)
        while (lag := asyncio.run(read_status(settings)).lag) != 0 and not ended():
            print(f"fill: {lag} records to apply", file=sys.stderr, flush=True)
            time.sleep(SAMPLE_EVERY_S)
    return sent


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "REDIS_URL": settings.redis_url,
        "RECSYS_MODELS_DIR": f"{folder}/models",
        "RECSYS_REPORTS_DIR": f"{folder}/reports",
        "RECSYS_SERVING_STATE_DIR": f"{folder}/serving",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the soak (default 60)")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second (default 300)")
    parser.add_argument(
        "--fill",
        type=int,
        default=2_000_000,
        help="events sent at full speed before the clock starts (default 2000000)",
    )
    parser.add_argument("--workers", type=int, default=2, help="engagement workers (default 2)")
    parser.add_argument("--warm-up", type=float, default=10.0, help="first minutes that are not judged (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the load (default 0)")
    parser.add_argument("--json", type=Path, default=Path("reports/soak.json"), help="default reports/soak.json")
    arguments = parser.parse_args()
    if arguments.minutes <= 0 or arguments.rate <= 0 or arguments.fill < 0 or not 1 <= arguments.workers <= PARTITIONS:
        parser.error(f"expected minutes > 0, rate > 0, fill >= 0 and 1 to {PARTITIONS} workers")
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
