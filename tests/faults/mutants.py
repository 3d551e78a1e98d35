"""`python -m tests.faults.mutants`: shows that the suite can fail. Each safeguard taken out must turn a case red."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.table import Table

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.processes import free_port
from tests.faults.cases.bundles import IN_PLACE
from tests.faults.cases.publishing import NO_LIST_CHECK
from tests.faults.findings import CASES, Outcome
from tests.faults.runner import run_case, say, terminal, write_report

MUTANTS = (
    ("the fence removed", "no-fence", "T1"),
    ("the fence removed", "no-fence", "T11"),
    ("the wait for the dead letter's acknowledgement removed", "no-acknowledgement", "T15"),
    ("what a merge hands on, dropped before its acknowledgement", "no-hand-over", "T1"),
    ("the atomic rename removed", IN_PLACE, "T20"),
    ("the check before a commit's first change, and its mark, removed", "no-intent", "T27"),
    ("the check of a list's model removed", NO_LIST_CHECK, "T25"),
)
"""What is missing, the mutant's name, and the case that must notice."""


def is_caught(outcome: Outcome) -> bool:
    """Whether the oracle saw wrong state; a case that merely broke proves nothing."""
    return bool(outcome.lost or outcome.doubled or outcome.wrong)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", default=1, show_default=True)
@click.option("--scale", default=0.1, show_default=True, type=click.FloatRange(0.01, 10))
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), default=Path("reports/faults/mutants.json"))
def main(seed: int, scale: float, report: Path) -> None:
    """Run fitting cases on mutants; the status is 0 only if the suite catches every one."""
    console = terminal()
    folder = Path(tempfile.mkdtemp(prefix="recsys-mutants-"))
    outcomes: list[Outcome] = []
    shown = Table(title="Mutants")
    for column in ("taken out", "case", "lost", "doubled", "wrong", "verdict"):
        shown.add_column(column)
    with LocalKafka(proxied_port=free_port()) as kafka:
        for number, (missing, mutant, name) in enumerate(MUTANTS):
            place = folder / f"{number}-{mutant}"
            outcome = run_case(CASES[name], kafka, place, seed=seed, scale=scale, mutant=mutant)
            say(console, outcome)
            outcomes.append(outcome)
            caught = is_caught(outcome)
            counts = (str(outcome.lost), str(outcome.doubled), str(outcome.wrong))
            shown.add_row(missing, name, *counts, "[green]caught[/]" if caught else "[bold red]NOT CAUGHT[/]")
    write_report(report, outcomes, seed=seed, scale=scale)
    console.print(shown)
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if all(map(is_caught, outcomes)) else 1)


if __name__ == "__main__":
    main()
