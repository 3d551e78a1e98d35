"""T33: faults out of the other cases in a random order, one after the other and on top of each other.

A schedule is drawn from the seed alone, before anything runs, so that a seed gives the same faults again, whatever
the machine does.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import redis

from tests.faults.cases.kills import start
from tests.faults.cases.outages import APPEND_ONLY_FOLDER, BACK_S, power_cut
from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import Worker
from tests.faults.serving import Api, publish_model
from tests.faults.stage import Stage

SEEDS = 20
LENGTH_S = 180.0
SHORTEST_S = 30.0
MOST_WORKERS = 5
NO_MASTER = ("127.0.0.1", 1)
"""An address at which nothing listens: a Redis told to replicate it keeps its data and refuses writes."""


class Step(NamedTuple):
    """One fault of a schedule.

    Attributes:
        at_s: Seconds after the schedule's begin.
        fault: A name in `FAULTS`.
        draw: Uniform in [0, 1): which worker, or how long.
    """

    at_s: float
    fault: str
    draw: float


@dataclass
class Scene:
    """What the faults act on.

    Attributes:
        stage: The stage.
        workers: Those that should run.
        snapshot: Redis's files as they were at the schedule's begin.
        done: Faults so far, by name.
    """

    stage: Stage
    workers: list[Worker]
    snapshot: Path
    done: dict[str, int] = field(default_factory=dict)

    def worker(self, draw: float) -> Worker:
        """One of the workers that run; any if none does."""
        running = [worker for worker in self.workers if worker.running] or self.workers
        return running[int(draw * len(running))]


def _kill(scene: Scene, draw: float) -> None:
    scene.worker(draw).kill()


def _stop(scene: Scene, draw: float) -> None:
    worker = scene.worker(draw)
    worker.stop()
    worker.wanted = True


def _freeze(scene: Scene, draw: float) -> None:
    worker = scene.worker(draw)
    worker.send(signal.SIGSTOP)
    scene.stage.wait(1.0 + 17.0 * draw)  # the longest is past the session time-out
    worker.send(signal.SIGCONT)


def _add(scene: Scene, _draw: float) -> None:
    if len(scene.workers) < MOST_WORKERS:
        scene.workers.append(scene.stage.fleet.add())


def _remove(scene: Scene, draw: float) -> None:
    if len(scene.workers) > 1:
        worker = scene.worker(draw)
        scene.workers.remove(worker)
        worker.stop()


def _broker_down(scene: Scene, draw: float) -> None:
    scene.stage.kafka.kill()
    scene.stage.wait(10.0 * draw)
    scene.stage.kafka.start()


def _redis_down(scene: Scene, draw: float) -> None:
    scene.stage.redis.kill()
    scene.stage.wait(12.0 * draw)
    scene.stage.start_redis()


def _redis_power_cut(scene: Scene, _draw: float) -> None:
    power_cut(scene.stage)
    scene.stage.start_redis()


def _redis_restored(scene: Scene, _draw: float) -> None:
    stage = scene.stage
    stage.redis.kill()
    shutil.rmtree(stage.redis.directory / APPEND_ONLY_FOLDER)
    shutil.copytree(scene.snapshot, stage.redis.directory / APPEND_ONLY_FOLDER)
    stage.start_redis()


def _redis_flushed(scene: Scene, _draw: float) -> None:
    scene.stage.client.flushall()


def _redis_read_only(scene: Scene, draw: float) -> None:
    client = scene.stage.client
    client.replicaof(*NO_MASTER)
    try:
        scene.stage.wait(1.0 + 9.0 * draw)
    finally:
        client.replicaof("NO", "ONE")


def _scripts_flushed(scene: Scene, _draw: float) -> None:
    scene.stage.client.script_flush()


def _connections_killed(scene: Scene, _draw: float) -> None:
    with contextlib.suppress(redis.ConnectionError):  # its own may be among them
        scene.stage.client.client_kill_filter(_type="normal", skipme=True)


def _redis_paused(scene: Scene, draw: float) -> None:
    scene.stage.client.client_pause(int(200 + 4000 * draw))


def _published(scene: Scene, _draw: float) -> None:
    publish_model(scene.stage)


FAULTS: dict[str, tuple[int, Callable[[Scene, float], None]]] = {
    "kill": (6, _kill),
    "stop": (3, _stop),
    "freeze": (2, _freeze),
    "add": (2, _add),
    "remove": (2, _remove),
    "broker_down": (2, _broker_down),
    "redis_down": (3, _redis_down),
    "redis_power_cut": (2, _redis_power_cut),
    "redis_restored": (1, _redis_restored),
    "redis_flushed": (1, _redis_flushed),
    "redis_read_only": (2, _redis_read_only),
    "scripts_flushed": (2, _scripts_flushed),
    "connections_killed": (3, _connections_killed),
    "redis_paused": (2, _redis_paused),
    "published": (2, _published),
}
"""Name → how often it is drawn, relative to the others, and what it does."""


def schedule(seed: int, length_s: float) -> list[Step]:
    """The faults of one seed, in order; the same seed and length give the same ones."""
    rng = random.Random(seed * 7919 + 33)
    weights = [weight for weight, _ in FAULTS.values()]

    def steps() -> Iterator[Step]:
        at = rng.uniform(1.0, 4.0)
        while at < length_s:
            yield Step(at, rng.choices(list(FAULTS), weights)[0], rng.random())
            at += rng.uniform(1.0, 9.0)

    return list(steps())


@case("T33", "random faults out of all the others, many seeds")
def random_faults(stage: Stage) -> Findings:
    findings = Findings()
    seeds = range(stage.seed, stage.seed + stage.times(SEEDS))
    findings.figures["seeds"] = f"{seeds[0]}…{seeds[-1]}"
    total: dict[str, int] = {}
    for seed in seeds:
        folder = stage.folder / f"seed-{seed}"
        folder.mkdir()
        stage.kafka.start()
        with Stage(stage.kafka, folder, seed=seed, scale=stage.scale, mutant=stage.mutant) as of_seed:
            found = _one_seed(of_seed, total)
        findings.problems += [f"seed {seed}: {problem}" for problem in found.problems]
        findings.verdict.add(found.verdict)
        if found.recovery_s is not None:
            findings.recovered(found.recovery_s, BACK_S)
        findings.figures["records"] = findings.figures.get("records", 0) + found.figures["records"]
    findings.figures["faults"] = total
    return findings


def _one_seed(stage: Stage, total: dict[str, int]) -> Findings:
    findings = Findings()
    publish_model(stage)
    workers = start(stage, named=False)
    snapshot = stage.folder / "snapshot"
    shutil.copytree(stage.redis.directory / APPEND_ONLY_FOLDER, snapshot)
    scene = Scene(stage, workers, snapshot)
    steps = schedule(stage.seed, max(SHORTEST_S, LENGTH_S * min(1.0, stage.scale)))
    began = time.monotonic()
    with Api(stage) as api:
        for step in steps:
            stage.wait(began + step.at_s - time.monotonic())
            FAULTS[step.fault][1](scene, step.draw)
            total[step.fault] = total.get(step.fault, 0) + 1
        findings.recovered(stage.recover(BACK_S), BACK_S)
        findings.problems += api.problems()
    return conclude(stage, findings)
