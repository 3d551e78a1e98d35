"""Wall time, CPU and peak memory of `recsys retrain`, and the towers' training beside Keras `fit` and implicit ALS.

Each retrain is a process of its own, as an operator starts it, with an evaluation, the bundle and the report in it.
Histories are simulated, drawn as `benchmarks.shapes` does, or given as folders of `recsys import`: `--folder DIR`. The
towers: `benchmarks.towers`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from recsys.model.hyperparameters import HyperParameters

if TYPE_CHECKING:  # TensorFlow
    from benchmarks.towers import Comparison

EVENTS_A_LEARNER = 50
EXAMPLES = 10_240
"""The fewest that make a retrain's batches as large as they get."""

PASSES = (20, 5)


class Cost(NamedTuple):
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    status: int


def main() -> None:
    """Prints a table of retrains, then one of the towers on each history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="simulated events, about")
    parser.add_argument("--courses", type=int, nargs="*", default=[3000, 8000], help="sizes of simulated catalogues")
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="of interactions.parquet and courses.parquet"
    )
    parser.add_argument(
        "--drawn",
        nargs=3,
        action="append",
        default=[],
        metavar=("SHAPE", "LEARNERS", "COURSES"),
        help="a shape of benchmarks/shapes.py with so many learners and courses",
    )
    parser.add_argument("--seed", type=int, default=1, help="of drawn histories")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="most examples of the towers")
    parser.add_argument(
        "--passes",
        type=int,
        nargs=2,
        default=PASSES,
        metavar=("ALL", "ONE"),
        help="most passes of Keras `fit` with all targets a sample, and with one, to the NDCG@10 of the retrain's way",
    )
    parser.add_argument("--no-retrain", action="store_true", help="the towers alone")
    parser.add_argument("--no-towers", action="store_true", help="leave the comparison with Keras `fit` out")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}; limits: 180 s, 2,048 MiB for a million events")
    with tempfile.TemporaryDirectory() as name:
        histories = {folder.name: folder for folder in options.folder}
        for courses in options.courses:
            folder = Path(name) / str(courses)
            folder.mkdir()
            events = simulate(folder, events=options.events, courses=courses)
            histories[f"{events:,} simulated events, {courses:,} courses"] = folder
        for number, (shape, learners, size) in enumerate(options.drawn):
            folder = Path(name) / f"drawn-{number}"
            folder.mkdir()
            events = drawn(folder, shape, int(learners), int(size), options.seed)
            histories[f"{shape}: {events:,} drawn events, {int(size):,} courses, seed {options.seed}"] = folder
        if not options.no_retrain:
            print("| history | wall s | CPU s | peak MiB | status |\n|---|---|---|---|---|")
            for title, folder in histories.items():
                print(_row(title, retrain(folder)), flush=True)
        if not options.no_towers:
            for title, folder in histories.items():
                found = towers(folder, HyperParameters(max_examples=options.examples), tuple(options.passes))
                print(f"\n{title}", *found.lines(), sep="\n", flush=True)


def retrain(folder: Path) -> Cost:
    """`recsys retrain --no-publish` on the files of a folder."""
    with tempfile.TemporaryDirectory() as out:
        files = ["--interactions", str(folder / "interactions.parquet"), "--courses", str(folder / "courses.parquet")]
        command = [sys.executable, "-m", "recsys.cli", "retrain", "--no-publish", "--json", *files]
        environment = {**os.environ, "RECSYS_MODELS_DIR": f"{out}/models", "RECSYS_REPORTS_DIR": f"{out}/reports"}
        began = time.monotonic()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return Cost(time.monotonic() - began, cpu, usage.ru_maxrss / 1024, child.returncode)


def simulate(folder: Path, *, events: int, courses: int) -> int:
    """Writes a simulated history and returns how many events it has."""
    from batch.datasets.simulator import simulate as simulated  # noqa: PLC0415 - not needed for --folder
    from recsys.files import write_courses, write_interactions  # noqa: PLC0415 - as above

    found = simulated(learners=max(1, events // EVENTS_A_LEARNER), courses=courses, days=90, seed=0)
    write_interactions(found.interactions, folder / "interactions.parquet")
    write_courses(found.courses, folder / "courses.parquet")
    return len(found.interactions)


def drawn(folder: Path, shape: str, learners: int, courses: int, seed: int) -> int:
    """Writes a history of a shape of another size and returns how many events it has."""
    from benchmarks.shapes import SHAPES, draw  # noqa: PLC0415 - not needed for --folder
    from recsys.files import course_frame, write_courses, write_interactions  # noqa: PLC0415 - as above

    interactions, catalogue = draw(replace(SHAPES[shape], learners=learners, courses=courses), seed)
    write_interactions(interactions, folder / "interactions.parquet")
    write_courses(course_frame(catalogue), folder / "courses.parquet")
    return len(interactions)


def towers(folder: Path, settings: HyperParameters, passes: tuple[int, int]) -> Comparison:
    """The towers' training beside Keras `fit` and implicit ALS, on the files of a folder."""
    from batch.history import from_files  # noqa: PLC0415 - not needed for retrains
    from batch.preparation import prepare, rule_of  # noqa: PLC0415 - as above
    from benchmarks.towers import compare  # noqa: PLC0415 - as above
    from recsys.process.native_logs import import_tensorflow  # noqa: PLC0415 - as above
    from recsys.settings import load_settings  # noqa: PLC0415 - as above

    import_tensorflow(quiet=True)
    history = from_files(folder / "interactions.parquet", folder / "courses.parquet")
    configured = load_settings()
    prepared = prepare(history, at_ms=time.time_ns() // 1_000_000, rules=configured.record_rules)
    return compare(prepared.events, prepared.courses, rule_of(configured), settings, passes=passes)


def _row(name: str, cost: Cost) -> str:
    return f"| {name} | {cost.wall_s:.0f} | {cost.cpu_s:.0f} | {cost.peak_mib:.0f} | {cost.status} |"


if __name__ == "__main__":
    main()
