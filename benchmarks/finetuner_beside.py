"""The API and the worker with the fine-tuner beside them: milliseconds of clicks and of commits, without and with it.

    python -m benchmarks.finetuner_beside [--rate 300] [--clicks 400] [--rounds 3] [--gate-seconds 20] [--not-idle]

MARS, or simulated learners, in a real Kafka and Redis; a model learned from the topic, one worker, the API, events at a
steady rate. In each round the clicks of `benchmarks.click_to_answer` are measured without the fine-tuner and with it,
once it has read the topic. It judges its increments every --gate-seconds, so that these are part of what is measured.
All run on the same cores: what is shown is what the fine-tuner takes from the others.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.click_report import Clicks
from benchmarks.click_to_answer import System, everything, files, measure, running
from benchmarks.stages import Snapshot
from infra.devtools.processes import free_port
from recsys.files import read_courses, read_interactions

READ_WITHIN_S = 300.0
QUIET_S = 3.0


@dataclass(slots=True)
class Side:
    """All rounds without the fine-tuner, or with it.

    Attributes:
        clicks: Milliseconds from each click to the answer that contains it.
        folded: p99 of the time from Kafka's append to the commit in each round, ms.
        cores: CPU seconds a second of worker and API in each round.
    """

    clicks: list[float] = field(default_factory=list)
    folded: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)

    def add(self, measured: Clicks) -> None:
        """One round."""
        self.clicks += measured.ms
        self.folded.append(measured.stages["folded"][2])
        self.cores.append(measured.cores)

    def figures(self) -> dict[str, float]:
        """Percentiles over all clicks, medians over rounds."""
        p50, p99 = np.percentile(self.clicks, [50, 99])
        folded, cores = np.median(self.folded), np.median(self.cores)
        return {"click p50, ms": p50, "click p99, ms": p99, "append to commit p99, ms": folded, "cores": cores}


def wait_until_read(metrics: str, records: int) -> None:
    """Returns once the fine-tuner has read so many records, and learned what it read."""
    deadline = time.monotonic() + READ_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(QUIET_S)
        seen = Snapshot.read([metrics]).samples
        read = sum(value for (name, _), value in seen.items() if name == "recsys_finetune_records_total")
        if read >= records and not seen.get(("recsys_finetune_blocks_waiting", ()), 1.0):
            return
    raise SystemExit(f"expected the fine-tuner to read {records} records within {READ_WITHIN_S:g} s")


def rounds(arguments: argparse.Namespace, system: System, env: dict[str, str]) -> tuple[Side, Side]:
    """Rounds one after the other, so that what changes on the machine meanwhile meets both sides."""
    users = sorted(set(read_interactions(arguments.interactions)["user_id"]))
    courses = sorted(read_courses(arguments.courses)["course_id"])
    without, beside, port = Side(), Side(), free_port()
    env = {**env, "RECSYS_FINETUNE_METRICS_PORT": str(port)}
    history = len(read_interactions(arguments.interactions))
    for number in range(arguments.rounds):
        env["RECSYS_FINETUNE_DIR"] = f"{arguments.interactions.parent}/finetune-{number}"  # none has read anything yet
        without.add(measure(system, arguments, arguments.rate, users, courses))
        with running(["finetune"], env):
            wait_until_read(f"http://127.0.0.1:{port}", history // 2)
            beside.add(measure(system, arguments, arguments.rate, users, courses))
    return without, beside


def main() -> None:
    """Prints the table, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--clicks", type=int, default=400, help="in each round, on each side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gate-seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds of load before the first click")
    parser.add_argument("--not-idle", action="store_true", help="with RECSYS_FINETUNE_IDLE=false")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.seed, arguments.polling, arguments.bundle = 0, False, None
    arguments.workers, arguments.partitions = 1, 6
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        arguments.interactions, arguments.courses = files(folder)
        system = stack.enter_context(everything(arguments))
        env = {**system.env, "RECSYS_FINETUNE_GATE_SECONDS": str(arguments.gate_seconds)}
        if arguments.not_idle:
            env["RECSYS_FINETUNE_IDLE"] = "false"
        without, beside = (side.figures() for side in rounds(arguments, system, env))
    table = Table(title=f"clicks beside {arguments.rate:g} events/s, without the fine-tuner and with it")
    for heading in ("", "without", "with", "change"):
        table.add_column(heading, justify="right")
    for name, value in without.items():
        table.add_row(name, f"{value:.2f}", f"{beside[name]:.2f}", f"{beside[name] / value - 1:+.0%}")
    Console(width=100).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"without": without, "with": beside}))


if __name__ == "__main__":
    main()
