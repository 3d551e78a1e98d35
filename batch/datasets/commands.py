"""`recsys simulate` and `recsys import`: neutral files from a seed, or from a public data set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
import msgspec
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.movielens import import_movielens
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.simulator import DEFAULT_END_MS
from batch.datasets.simulator import simulate as run_simulation
from recsys.errors import ConfigurationError
from recsys.files import write_courses, write_interactions
from recsys.tables import FILE_FORMATS

Importer = Callable[[Path], tuple[pd.DataFrame | None, pd.DataFrame]]

_format = click.option(
    "--format",
    "file_format",
    type=click.Choice(FILE_FORMATS),
    default="parquet",
    show_default=True,
    help="File format.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
_out = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; made if missing.",
)


@click.command("simulate")
@_out
@click.option("--learners", default=2000, show_default=True, help="How many learners.")
@click.option("--courses", default=400, show_default=True, help="Size of the catalogue.")
@click.option("--days", default=90, show_default=True, help="Length of the history.")
@click.option("--seed", default=0, show_default=True, help="The only source of chance.")
@click.option("--bots", default=0.0, show_default=True, help="Share of the learners that are bots, 0 to 0.5.")
@click.option("--end", default=None, help="End of the history: ms, RFC 3339 or `now`. [default: 2026-01-01T00:00:00Z]")
@_format
@_json
def simulate(  # noqa: PLR0917 - click passes options by name
    out: Path,
    learners: int,
    courses: int,
    days: int,
    seed: int,
    bots: float,
    end: str | None,
    file_format: str,
    as_json: bool,
) -> None:
    """Write a simulated catalogue and its learners' interactions.

    Equal arguments write equal files. With --bots, `bots.csv` tells who is one, for measuring a detector.
    """
    end_ms = _time_ms(end)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("simulating", total=1.0)
        simulation = run_simulation(
            learners=learners,
            courses=courses,
            days=days,
            seed=seed,
            bots=bots,
            end_ms=end_ms,
            on_progress=lambda done: progress.update(task, completed=done),
        )
    written = _write(out, file_format, simulation.interactions, simulation.courses)
    if bots > 0:
        simulation.bots.to_csv(out / "bots.csv", index=False)
        written["bots"] = len(simulation.bots)
    _report(written, out, as_json=as_json)


@click.group("import")
def import_() -> None:
    """Turn a public data set into the neutral files."""


def _add(name: str, importer: Importer, summary: str) -> None:
    @import_.command(name, help=summary)
    @click.option("--source", required=True, type=click.Path(path_type=Path), help="The set's folder, or a file in it.")
    @_out
    @_format
    @_json
    def command(source: Path, out: Path, file_format: str, as_json: bool) -> None:
        interactions, courses = importer(source)
        _report(_write(out, file_format, interactions, courses), out, as_json=as_json)


_add("mars", import_mars, "MARS, English part: page views and watch events. Times are taken as UTC.")
_add("online-retail", import_online_retail, "UCI Online Retail: each purchase a click. Times are taken as UTC.")
_add(
    "movielens", import_movielens, "MovieLens: ratings.csv, ratings.dat or u.data (moved ten years on) with the films."
)
_add("online-courses", import_online_courses, "Online_Courses.csv: a catalogue without learners.")


def _write(out: Path, file_format: str, interactions: pd.DataFrame | None, courses: pd.DataFrame) -> dict[str, int]:
    written = {"courses": len(courses)}
    write_courses(courses, out / f"courses.{file_format}")
    if interactions is not None:
        write_interactions(interactions, out / f"interactions.{file_format}")
        written["interactions"] = len(interactions)
        written["learners"] = interactions["user_id"].nunique()
    return written


def _report(written: dict[str, int], out: Path, *, as_json: bool) -> None:
    sentence = ", ".join(f"{number} {name}" for name, number in written.items())
    click.echo(json.dumps({**written, "out": str(out)}) if as_json else f"{sentence} written to {out}")


def _time_ms(text: str | None) -> int:
    """A time given on the command line as ms since 1970 UTC.

    Raises:
        ConfigurationError: It is neither milliseconds, RFC 3339 with a zone, nor `now`.
    """
    if text is None:
        return DEFAULT_END_MS
    if text == "now":
        return int(time.time() * 1000)
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(f"expected --end as ms, RFC 3339 with a zone, or now, received {text[:40]!r}")
    return int(moment.timestamp() * 1000)
