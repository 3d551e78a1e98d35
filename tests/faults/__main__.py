"""`python -m tests.faults`: the fault suite's command line."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from tests.faults.findings import CASES
from tests.faults.runner import run_cases, say, table, terminal, write_report


def in_order(names: tuple[str, ...]) -> list[str]:
    """The cases asked for, or all, by number.

    Raises:
        click.UsageError: For a name that is none.
    """
    wanted = {name.upper() for name in names} or set(CASES)
    unknown = sorted(wanted - set(CASES))
    if unknown:
        raise click.UsageError(f"expected cases out of {', '.join(CASES)}, received {', '.join(unknown)}")
    return sorted(wanted, key=lambda name: int(name[1:]))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[CASE]...")
@click.option("--list", "listing", is_flag=True, help="Print the cases and end.")
@click.option("--seed", default=1, show_default=True, help="Of the load, the victims and the weather.")
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 10),
    help="Factor of the load and of the number of faults.",
)
@click.option("--old", "old_ref", default="", help="T23: git ref of the old version. Default: the one the case names.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the JSON goes. Default: reports/faults/<time>.json",
)
def main(names: tuple[str, ...], listing: bool, seed: int, scale: float, old_ref: str, report: Path | None) -> None:
    """Run fault cases on a real Kafka, Redis and workers; the status is 1 if any fails. Without a CASE: all of them."""
    console = terminal()
    chosen = in_order(names)
    if listing:
        for name in chosen:
            console.print(f"{name:4} {CASES[name].title}", highlight=False)
        return
    outcomes = run_cases(chosen, seed=seed, scale=scale, old_ref=old_ref, done=lambda outcome: say(console, outcome))
    path = report or Path("reports/faults") / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    write_report(path, outcomes, seed=seed, scale=scale)
    console.print(table(outcomes))
    console.print(f"report: {path}", highlight=False)
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
