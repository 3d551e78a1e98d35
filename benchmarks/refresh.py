"""Refresh: what ranking a learner costs, and how long the oldest list waits while learners click.

    python -m benchmarks.refresh [--learners 2000] [--seconds 20] [--clicks 500] [--json OUT]
    python -m benchmarks.refresh --services      the waits on a real Kafka and worker, too

Ranking: learners one by one beside the same learners in the batches of a worker, on one core (one BLAS thread), for
catalogues of 1,000, 4,000 and 10,000 courses: with a ranker as a retrain learns it (three item-item matrices of 200
weights a course), and with a linear bundle as baselines have it (one of 100). Times are CPU time of this process, the
best of three turns. Then `refresh`: dirty learners of a real Redis to lists written there, wall-clock time.

Waits: learners of all partitions click at a steady rate; each click commits a learner's sums to a real Redis and tells
the worker's own refresher. The age of a partition's oldest list is looked at 20 times a second in Redis, from outside.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.drawn import draw_bundle, draw_learners
from benchmarks.refresh_services import waits_of_workers
from benchmarks.refresh_waits import TOP_N, now_ms, waits, whole_refresh
from infra.devtools.local_redis import LocalRedis
from recsys.model.scorer import Learner, Scorer
from stream.engagement.refresh import BATCH_USERS

CATALOGUES = (1000, 4000, 10_000)


def best_of_three(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest turn."""
    turns = []
    for _ in range(3):
        began = time.process_time()
        work()
        turns.append(time.process_time() - began)
    return min(turns)


def ranking(scorer: Scorer, learners: Sequence[Learner]) -> dict[str, float]:
    """CPU time a learner, one by one and in a worker's batches, in microseconds; and that the lists are the same."""
    at_ms, slices = now_ms(), range(0, len(learners), BATCH_USERS)

    def one_by_one() -> list[Any]:
        return [scorer.rank(one.user_id, one.engagement, at_ms=at_ms, n=TOP_N, exclude=one.exclude) for one in learners]

    def batched() -> list[Any]:
        return [
            ranked
            for start in slices
            for ranked in scorer.rank_many(learners[start : start + BATCH_USERS], at_ms=at_ms, n=TOP_N)
        ]

    if one_by_one() != batched():
        raise SystemExit("expected the same lists in batches as one by one, received others")
    single, many = best_of_three(one_by_one), best_of_three(batched)
    each = 1e6 / len(learners)
    return {"single_us": round(single * each), "batched_us": round(many * each), "ratio": round(single / many, 1)}


def show(figures: dict[str, Any]) -> None:
    """The tables for a person."""
    console = Console()
    speed = Table(title="Ranking, µs of one core a learner")
    for column in ("model", "courses", "one by one", f"in batches of {BATCH_USERS}", "ratio"):
        speed.add_column(column, justify="right")
    for model, sizes in figures["ranking"].items():
        for courses, row in sizes.items():
            cells = (f"{row['single_us']:,}", f"{row['batched_us']:,}", f"{row['ratio']} ×")
            speed.add_row(model, f"{int(courses):,}", *cells)
    console.print(speed)
    console.print(f"From dirty mark to list in Redis, 4,000 courses: {figures['refresh_per_s']:,} learners/s")
    for title, found in figures["waits"].items():
        table = Table(title=f"Oldest list waiting, {figures['clicks_per_s']:g} clicks/s: {title}")
        for partition in found["oldest_s"]:
            table.add_column(f"partition {partition}", justify="right")
        table.add_row(*(f"{age:.3f} s" for age in found["oldest_s"].values()))
        console.print(table)
        if "click_to_list_ms" in found:
            wait = found["click_to_list_ms"]
            console.print(f"From a click's commit to its list: p50 {wait['p50']} ms, p99 {wait['p99']} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clicks", type=float, default=500.0, help="Clicks a second over all partitions.")
    parser.add_argument("--services", action="store_true", help="The waits on a real Kafka and worker, too.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"cores": os.cpu_count(), "clicks_per_s": arguments.clicks, "ranking": {}, "waits": {}}
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1, user_api="blas"):
        folders = {}
        for model in ("linear", "ranker"):
            figures["ranking"][model] = {}
            for courses in CATALOGUES:
                where = Path(name) / model / str(courses)
                folders[courses] = draw_bundle(
                    where, courses=courses, users=arguments.learners, linear=model == "linear"
                )
                learners = draw_learners(arguments.learners, courses=courses, at_ms=now_ms())
                figures["ranking"][model][str(courses)] = ranking(Scorer.load(folders[courses]), learners)
        scorer = Scorer.load(folders[4000])
        learners = draw_learners(arguments.learners, courses=4000, at_ms=now_ms())
        with LocalRedis() as redis:
            figures["refresh_per_s"] = round(uvloop.run(whole_refresh(redis.database_url(0), scorer, learners)))
            pace = {"clicks_per_s": arguments.clicks, "seconds": arguments.seconds}
            figures["waits"]["refresher and Redis"] = uvloop.run(waits(redis.database_url(1), scorer, learners, **pace))
        if arguments.services:
            figures["waits"]["Kafka, worker and Redis"] = waits_of_workers(folders[4000], learners, **pace)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
