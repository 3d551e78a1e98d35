"""What the hot path costs an event without Kafka: decode, then fold, pack and commit, on a local Redis.

    python benchmarks/fold_commit.py [--events 40000] [--rounds 3] [--json OUT]

CPU of this process and of Redis, not wall time, so that a busy machine disturbs it little; the best of some rounds.
Two loads, in chunks of 1,000: sessions of twelve events a learner, and one event a learner ("spread").
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from infra.devtools.local_redis import LocalRedis
from recsys.kafka.records import Record
from recsys.keys import Partition, Shard, Topology
from recsys.online_store.redis.store import RedisStore
from recsys.settings import Settings
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.steps import read_state

CHUNK = 1000
LEARNERS = 4000
COURSES = 3600
SESSION = 12
ARRIVAL_MS = 1_700_000_000_000
KINDS = ["view"] * 5 + ["click"] * 6 + ["play", "bookmark", "enroll", "rate"]


@dataclass(frozen=True, slots=True)
class OneRecord:
    """As much of a Kafka record as the fold reads."""

    offset: int
    value: bytes
    key: bytes
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """µs of CPU an event."""

    load: str
    decode_us: float
    fold_and_commit_us: float
    redis_us: float


def records(events: int, *, spread: bool) -> list[Record]:
    rng, made, learner = random.Random(1), list[Record](), 0
    for number in range(events):
        if spread or number % SESSION == 0:
            learner = rng.randrange(LEARNERS)
        kind = rng.choice(KINDS)
        body: dict[str, object] = {
            "event_id": f"evt-{number:09d}",
            "user_id": f"learner-{learner:05d}",
            "course_id": f"course-{int(COURSES * rng.random() ** 2):05d}",
            "type": kind,
            "timestamp": ARRIVAL_MS - rng.randrange(10**9),
        }
        if kind == "rate":
            body["value"] = rng.randint(1, 5)
        made.append(OneRecord(number, json.dumps(body).encode(), b"", ARRIVAL_MS + number))
    return made


async def measure(url: str, made: Sequence[Record], load: str) -> Cost:
    """The cost of all but the first quarter, which fills caches and the store."""
    store, rules, shard = RedisStore.for_stream(url), FoldRules.of(Settings(), Topology(1)), Shard(0)
    warm = len(made) // 4 // CHUNK * CHUNK
    decode = rest = redis_before = 0.0
    fence: int | None = None
    with redis.Redis.from_url(url) as client:
        client.flushall()
        for start in range(0, len(made), CHUNK):
            if start == warm:
                decode, rest, redis_before = 0.0, 0.0, redis_cpu_s(client)
            began = time.process_time()
            batch = decode_records(made[start : start + CHUNK], Partition(0), rules)
            decoded = time.process_time()
            state = await read_state(store, shard, "bench", batch, rules)
            last = start + CHUNK - 1
            if state is None or not await store.commit(shard, "bench", fence, last, fold(batch, state, rules)):
                raise SystemExit("the fence moved: something else writes to this Redis")
            fence = last
            decode, rest = decode + decoded - began, rest + time.process_time() - decoded
        spent = redis_cpu_s(client) - redis_before
    await store.close()
    events = len(made) - warm
    return Cost(load, *(round(seconds / events * 1e6, 2) for seconds in (decode, rest, spent)))


def redis_cpu_s(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def best(costs: Sequence[Cost]) -> Cost:
    return Cost(
        costs[0].load,
        min(cost.decode_us for cost in costs),
        min(cost.fold_and_commit_us for cost in costs),
        min(cost.redis_us for cost in costs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    with LocalRedis() as server:
        for load in ("sessions", "spread"):
            made = records(arguments.events // CHUNK * CHUNK, spread=load == "spread")
            found.append(best([asyncio.run(measure(server.url, made, load)) for _ in range(arguments.rounds)]))
            print(found[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cost) for cost in found], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
