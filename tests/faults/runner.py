"""Runs cases on one Kafka, a stage each, and writes what they found as JSON and as a table."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.processes import free_port
from tests.faults import cases  # noqa: F401 - registers them
from tests.faults.findings import CASES, Case, Findings, Outcome
from tests.faults.stage import Stage

WIDTH = 150


def run_case(
    case: Case,
    kafka: LocalKafka,
    folder: Path,
    *,
    seed: int,
    scale: float,
    mutant: str | None = None,
    old_ref: str = "",
    session_timeout_s: float | None = None,
) -> Outcome:
    """Runs one case; whatever it raises is a problem of the case, not of the run."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    kafka.start()  # a case before may have left it down
    findings = Findings()
    try:
        with Stage(
            kafka, folder, seed=seed, scale=scale, mutant=mutant, old_ref=old_ref, session_timeout_s=session_timeout_s
        ) as stage:
            findings = case.run(stage)
    except Exception as error:  # noqa: BLE001 - one case that breaks must not hide the others
        findings.problems.append(f"{type(error).__name__}: {error}")
    outcome = Outcome.of(case, findings, time.monotonic() - began)
    if outcome.passed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        outcome.problems.append(f"logs: {folder}")
    return outcome


def run_cases(
    names: Iterable[str],
    *,
    seed: int,
    scale: float,
    old_ref: str = "",
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Runs cases one after the other on one Kafka; `done` is called with each outcome."""
    folder = Path(tempfile.mkdtemp(prefix="recsys-faults-"))
    outcomes = []
    with LocalKafka(proxied_port=free_port()) as kafka:
        for name in names:
            outcome = run_case(CASES[name], kafka, folder / name, seed=seed, scale=scale, old_ref=old_ref)
            outcomes.append(outcome)
            done(outcome)
    if all(outcome.passed for outcome in outcomes):
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def write_report(path: Path, outcomes: Iterable[Outcome], *, seed: int, scale: float) -> None:
    """Writes the outcomes as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "seed": seed,
        "scale": scale,
        "cores": os.cpu_count(),
        "cases": [outcome.as_json() for outcome in outcomes],
    }
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")


def table(outcomes: Iterable[Outcome]) -> Table:
    """The outcomes for a person."""
    shown = Table(title="Fault suite")
    for column in ("case", "fault", "lost", "doubled", "wrong", "recovery s", "limit s", "took s", "verdict"):
        shown.add_column(column, justify="left" if column in ("case", "fault", "verdict") else "right")
    for one in outcomes:
        shown.add_row(
            one.case,
            one.title,
            str(one.lost),
            str(one.doubled),
            str(one.wrong),
            "" if one.recovery_s is None else f"{one.recovery_s:.1f}",
            "" if one.limit_s is None else f"{one.limit_s:g}",
            f"{one.seconds:.0f}",
            "[green]passed[/]" if one.passed else "[bold red]FAILED[/]",
        )
    return shown


def terminal() -> Console:
    """Where the tables go; wide enough for them where nobody says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def say(console: Console, outcome: Outcome) -> None:
    """One case's outcome as soon as it is there."""
    word = "[green]passed[/]" if outcome.passed else "[bold red]FAILED[/]"
    figures = ", ".join(f"{name}={value}" for name, value in outcome.figures.items())
    console.print(f"{outcome.case} {word} in {outcome.seconds:.0f} s ({figures})", highlight=False)
    for problem in outcome.problems:
        console.print(f"   {problem}", highlight=False, markup=False)
