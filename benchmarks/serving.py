"""The hot route over real HTTP and a real Redis on loopback: latency alone, requests/s under load, and with Redis gone.

One command, about 15 s: `python benchmarks/serving.py [--seconds 3] [--json FILE]`. Starts its own Redis and
`recsys serve`, with a drawn bundle of 4,000 courses and 2,000 learners with cached lists of 50. Client and server share
the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.drawn import draw_bundle
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import free_port
from recsys.keys import Topology
from recsys.online_store import CachedTop, ModelPointer
from recsys.online_store.redis.store import RedisStore

N_COURSES, N_USERS, TOP, PARTITIONS = 4000, 2000, 50, 6


async def fill(url: str, bundle: Path) -> None:
    store, rng = RedisStore.for_stream(url), random.Random(0)
    await store.establish_topology(Topology(PARTITIONS))
    await store.publish_model(ModelPointer(bundle.name, str(bundle), 0), replacing=None)
    for user in map(str, range(N_USERS)):
        ids = tuple(f"c{i}" for i in rng.sample(range(N_COURSES), TOP))
        top = CachedTop(user, bundle.name, time.time_ns() // 1_000_000, ids, tuple(float(-i) for i in range(TOP)))
        await store.write_tops(Topology(PARTITIONS).shard_of(user), [(top, None)])
    await store.close()


@contextlib.contextmanager
def api(redis_url: str, folder: Path) -> Iterator[int]:
    environment = os.environ | {
        "REDIS_URL": redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "RECSYS_MODELS_DIR": str(folder / "models"),
        "RECSYS_SERVING_STATE_DIR": str(folder / "state"),
    }
    command = [sys.executable, "-m", "recsys.cli", "serve", "--port", "0"]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        for line in process.stdout or ():
            if "http://" in line:
                yield int(line.rsplit(":", 1)[1])
                break
        else:
            raise SystemExit((folder / "serve.log").read_text())
    finally:
        process.terminate()
        process.wait(10)


async def caller(port: int, until: float, seed: int, seconds: list[float], statuses: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    rng = random.Random(seed)
    while time.perf_counter() < until:
        started = time.perf_counter()
        user = rng.randrange(N_USERS)
        writer.write(f"GET /v1/users/{user}/recommendations?n=10 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        seconds.append(time.perf_counter() - started)
        statuses[head[9:12].decode() + " " + (body.partition(b'"source":"')[2].split(b'"')[0].decode() or "-")] += 1
    writer.close()


async def measure(port: int, callers: int, duration_s: float) -> dict[str, Any]:
    seconds: list[float] = []
    statuses: Counter[str] = Counter()
    until = time.perf_counter() + duration_s
    await asyncio.gather(*(caller(port, until, seed, seconds, statuses) for seed in range(callers)))
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {
        "callers": callers,
        "requests_per_s": round(len(seconds) / duration_s),
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(max(seconds) * 1000, 3),
        "answers": dict(statuses),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="Length of each measurement.")
    parser.add_argument("--json", type=Path, help="Write the figures here too.")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as name, LocalRedis() as redis:
        folder = Path(name)
        uvloop.run(fill(redis.url, draw_bundle(folder / "models", courses=N_COURSES)))
        with api(redis.url, folder) as port:
            uvloop.run(measure(port, 4, 1.0))  # warm-up
            for title, callers in (("one caller", 1), ("16 callers", 16)):
                figures[title] = uvloop.run(measure(port, callers, options.seconds))
                print(f"{title:24}", json.dumps(figures[title]), flush=True)
            redis.kill()
            figures["16 callers, Redis gone"] = uvloop.run(measure(port, 16, options.seconds))
            print(f"{'16 callers, Redis gone':24}", json.dumps(figures["16 callers, Redis gone"]))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
