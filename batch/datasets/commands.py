"""`recsys simulate` and `recsys import`: neutral files from a seed, or from a public data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from batch.datasets.importers.courses import import_courses
from batch.datasets.importers.dates import check_format
from batch.datasets.importers.mars import import_mars
from batch.datasets.importers.movielens import import_movielens
from batch.datasets.importers.online_courses import import_online_courses
from batch.datasets.importers.online_retail import import_online_retail
from batch.datasets.importers.results import FileReport, Imported, ImportOptions
from batch.datasets.simulator import DEFAULT_END_MS
from batch.datasets.simulator import simulate as run_simulation
from batch.stages import shown_stages
from recsys.errors import ConfigurationError, InputError
from recsys.events import YEAR_2000_MS
from recsys.files import write_courses, write_interactions
from recsys.process.clock import now_ms
from recsys.process.folders import require_writable
from recsys.tables import FILE_FORMATS

Importer = Callable[[Path, ImportOptions], Imported]

LAST_END_MS = 4_102_444_800_000
"""The first instant of 2100: a simulated history ends before it."""

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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The only source of chance.")
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
    require_writable(out, "--out")
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
    """Turn a public data set into the neutral files.

    A structural fault (a row of another width, a doubled or missing column, bytes that are no text, dates that can be
    read in two ways) refuses the file: status 2. A single bad value refuses its row; such rows are counted by reason
    and shown by an example, and above 5 % of a file a warning stands on stderr. docs/files.md has the cases.
    """


def _add(name: str, importer: Importer, summary: str, *, has_dates: bool) -> None:
    @import_.command(name, help=summary)
    @click.option("--source", required=True, type=click.Path(path_type=Path), help="The set's folder, or a file in it.")
    @_out
    @_format
    @_json
    def command(source: Path, out: Path, file_format: str, as_json: bool, date_format: str | None = None) -> None:
        if date_format is not None:
            check_format(date_format)
        require_writable(out, "--out")
        with shown_stages() as stage:
            imported = importer(source, ImportOptions(now_ms(), date_format, stage))
        written = _write(out, file_format, imported.interactions, imported.courses, imported.files)
        _report(written, out, as_json=as_json, files=imported.files)
        _warn(imported.files)

    if has_dates:
        click.option(
            "--date-format",
            help="How the file writes dates, such as '%d/%m/%Y %H:%M' (codes of Python's strptime)."
            "  [default: decided from the whole column; refused where two readings are possible]",
        )(command)


_add(
    "mars",
    import_mars,
    "MARS, English part: page views and watch events.\n\nReads implicit_ratings_en.csv, explicit_ratings_en.csv and"
    " items_en.csv (UTF-8, with headers). Times without a zone are taken as UTC.",
    has_dates=True,
)
_add(
    "online-retail",
    import_online_retail,
    "UCI Online Retail: each purchase a click.\n\nReads online_retail.parquet, online_retail.csv, OnlineRetail.csv or"
    " 'Online Retail.csv' (UTF-8 or Windows-1252; comma, semicolon or tab). Lines without a customer, taken back or"
    " without a price are left out. Times without a zone are taken as UTC.",
    has_dates=True,
)
_add(
    "movielens",
    import_movielens,
    "MovieLens: ratings and films.\n\nReads ratings.csv with movies.csv, ratings.dat with movies.dat (1M: Latin-1,"
    " 10M: UTF-8; decided by decoding), or u.data with u.item (moved ten years on). Times are seconds since 1970 UTC.",
    has_dates=False,
)
_add(
    "online-courses",
    import_online_courses,
    "Online_Courses.csv: a catalogue without learners.\n\nUTF-8, with a header. A course without the address of a page"
    " gets an id from site, title and intro.",
    has_dates=False,
)


@import_.command("courses")
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_out
@_format
@_json
def courses(sources: tuple[Path, ...], out: Path, file_format: str, as_json: bool) -> None:
    """Catalogues of learning platforms into one, merged field by field.

    A FILE is what course-discovery of Open edX or Moodle's core_course_get_courses answers, course records of Open
    edX's event bus, or a neutral courses file. Where two tell of one course, the FILE named first wins in each field
    that it has. A course none of whose runs can be found and entered is retired.
    """
    require_writable(out, "--out")
    with shown_stages() as stage:
        merged = import_courses(sources, stage=stage)
    written = _write(out, file_format, None, merged.imported.courses)
    _report(written, out, as_json=as_json, files=merged.imported.files)
    for remark in merged.remarks:
        click.echo(remark, err=True)
    _warn(merged.imported.files)


def _write(
    out: Path,
    file_format: str,
    interactions: pd.DataFrame | None,
    courses: pd.DataFrame,
    files: Sequence[FileReport] = (),
) -> dict[str, int]:
    if courses.empty or (interactions is not None and interactions.empty):
        what = "courses" if courses.empty else "interactions"
        why = f" ({'; '.join(map(str, files))})" if files else ""
        raise InputError(f"there is nothing to write to {out}: no {what} left{why}")
    written = {"courses": len(courses)}
    write_courses(courses, out / f"courses.{file_format}")
    if interactions is not None:
        write_interactions(interactions, out / f"interactions.{file_format}")
        written["interactions"] = len(interactions)
        written["learners"] = interactions["user_id"].nunique()
    return written


def _report(written: dict[str, int], out: Path, *, as_json: bool, files: Sequence[FileReport] = ()) -> None:
    if as_json:
        documents = {"files": [file.document() for file in files]} if files else {}
        click.echo(json.dumps({**written, "out": str(out), **documents}))
        return
    sentence = ", ".join(f"{number} {name}" for name, number in written.items())
    click.echo("\n".join([f"{sentence} written to {out}", *map(str, files)]))


def _warn(files: Sequence[FileReport]) -> None:
    for file in files:
        if not file.is_mostly_good:
            share = file.refused_rows / file.read
            click.echo(
                f"warning: {file.refused_rows} of {file.read} rows of {file.file} refused ({share:.0%})", err=True
            )


def _time_ms(text: str | None) -> int:
    """A time given on the command line as ms since 1970 UTC.

    Raises:
        ConfigurationError: It is neither milliseconds, RFC 3339 with a zone, nor `now`, or not from 2000 to 2099.
    """
    if text is None:
        return DEFAULT_END_MS
    if text == "now":
        return now_ms()
    if text.isascii() and text.isdigit():
        end_ms = int(text)
    else:
        try:
            moment = msgspec.convert(text, datetime)
        except msgspec.ValidationError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ConfigurationError(f"expected --end as ms, RFC 3339 with a zone, or now, received {text[:40]!r}")
        end_ms = int(moment.timestamp() * 1000)
    if not YEAR_2000_MS <= end_ms < LAST_END_MS:
        raise ConfigurationError(f"expected --end from 2000 to 2099, received {text[:40]!r}")
    return end_ms
