"""End-to-end ingest: one engagement worker beside the textbook Faust agent, same topic, same broker, one run.

    python benchmarks/ingest.py [--interactions FILE] [--seconds 25] [--rounds 2] [--json OUT]

Without a file it takes Online Retail from RECSYS_DATA_DIR (default ../shared/data), and simulates 400,000 events where
that is not at hand.

Both read the same single-event records from a real Kafka and write to the same real Redis (AOF on). The two take
turns, each from the start of the topic with an empty database. Rates are taken from outside: records counted in
Redis (for the worker its own counters, for the textbook agent Redis's command statistics) between the first and the
last look, so start-up does not count. CPU is the operating system's: of the worker process, and of Redis.

Every record counts for both, whatever it changes. For the worker the outcomes are printed: an `unchanged` one (a second
click on a course on one day) was decoded and joined, and only spared its write; the textbook agent adds it again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from recsys.keys import KeySpace, Topology

HERE = Path(__file__).parent
TOPIC = "interactions"
PARTITIONS = 6
KEYS = [KeySpace().counts(shard) for shard in Topology(PARTITIONS).shards()]
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Run:
    """One measured run: events/s, CPU µs an event of the process and of Redis, and the worker's records by outcome."""

    who: str
    events: int
    seconds: float
    rate: float
    process_us: float
    redis_us: float
    outcomes: dict[str, int]


def recsys(*arguments: str, env: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "recsys.cli", *arguments], env=env, check=True)


def outcomes(client: redis.Redis) -> dict[str, int]:
    """Records by outcome, as the worker counts them."""
    totals: Counter[str] = Counter()
    for key in KEYS:
        counts: Any = client.hgetall(key)
        totals.update({name.decode(): int(records) for name, records in counts.items()})
    return dict(totals)


def worker_events(client: redis.Redis) -> int:
    return sum(outcomes(client).values())


def textbook_events(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_zincrby", {}).get("calls", 0))


def cpu_s(client: redis.Redis, process: psutil.Process) -> tuple[float, float]:
    info, times = client.info("cpu"), process.cpu_times()
    return times.user + times.system, info["used_cpu_user"] + info["used_cpu_sys"]


def measure(
    who: str, command: list[str], env: dict[str, str], count: Callable[[redis.Redis], int], *, last: int, limit_s: float
) -> Run:
    client = redis.Redis.from_url(env["REDIS_URL"])
    client.flushall()
    client.config_resetstat()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process = psutil.Process(child.pid)
        started = time.monotonic()
        while (first := count(client)) == 0:
            if time.monotonic() - started > 60 or child.poll() is not None:
                raise SystemExit(f"expected {who} to read the topic within 60 s, received exit status {child.poll()}")
            time.sleep(LOOK_EVERY_S)
        begin, (process_0, redis_0) = time.monotonic(), cpu_s(client, process)
        while (seen := count(client)) < last and time.monotonic() - begin < limit_s:
            time.sleep(LOOK_EVERY_S)
        seconds, (process_1, redis_1) = time.monotonic() - begin, cpu_s(client, process)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)
    events = seen - first
    return Run(
        who,
        events,
        seconds,
        events / seconds,
        (process_1 - process_0) / events * 1e6,
        (redis_1 - redis_0) / events * 1e6,
        outcomes(client),
    )


def events_file(folder: Path, env: dict[str, str]) -> Path:
    """Online Retail in the neutral form, or as many simulated events."""
    data = Path(env.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / "online_retail"
    if data.is_dir():
        recsys("import", "online-retail", "--source", str(data), "--out", str(folder), env=env)
    else:
        recsys("simulate", "--learners", "8000", "--courses", "1000", "--out", str(folder), env=env)
    return folder / "interactions.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--seconds", type=float, default=25.0, help="longest look at one run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LocalKafka() as kafka, LocalRedis() as store:
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "REDIS_URL": store.url,
            "RECSYS_INTERACTIONS_TOPIC": TOPIC,
            "TEXTBOOK_DATADIR": folder,
        }
        recsys("topics", "--partitions", str(PARTITIONS), env=env)
        interactions = arguments.interactions or events_file(Path(folder), env)
        recsys("replay", "--interactions", str(interactions), env=env)
        runs = []
        for turn in range(arguments.rounds):
            with redis.Redis.from_url(store.url) as client:
                client.flushall()
            group = {**env, "RECSYS_CONSUMER_GROUP": f"bench-{turn}"}
            command = [sys.executable, "-m", "stream"]
            runs.append(measure("recsys", command, group, worker_events, last=total(env), limit_s=arguments.seconds))
            print(runs[-1], flush=True)
            textbook = [sys.executable, str(HERE / "textbook_agent.py"), "worker", "-l", "error", "--without-web"]
            group = {**env, "TEXTBOOK_DATADIR": f"{folder}/{turn}", "TEXTBOOK_ID": f"textbook-{turn}"}
            runs.append(
                measure("textbook", textbook, group, textbook_events, last=total(env), limit_s=arguments.seconds)
            )
            print(runs[-1], flush=True)
    report(runs, arguments.json)


def total(env: dict[str, str]) -> int:
    """Records in the topic."""
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415 - the consumer is wanted here only

    consumer = KafkaConsumer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    ends = consumer.end_offsets([TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)])
    consumer.close()
    return sum(ends.values())


def report(runs: list[Run], out: Path | None) -> None:
    medians = {
        who: {
            field: statistics.median(getattr(run, field) for run in runs if run.who == who)
            for field in ("rate", "process_us", "redis_us")
        }
        for who in ("recsys", "textbook")
    }
    ratio = medians["recsys"]["rate"] / medians["textbook"]["rate"]
    for who, figures in medians.items():
        print(
            f"{who:9} {figures['rate']:10,.0f} events/s   process {figures['process_us']:6.1f} µs/event   "
            f"Redis {figures['redis_us']:6.1f} µs/event"
        )
    print(f"ratio     {ratio:10.1f} ×")
    if out is not None:
        out.write_text(json.dumps({"ratio": ratio, "median": medians, "runs": [asdict(run) for run in runs]}, indent=1))


if __name__ == "__main__":
    main()
