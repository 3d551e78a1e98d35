"""The options that several commands of `recsys ingest` share, and the rules that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from recsys.adapters.completions import Completions, FilePlaces
from recsys.adapters.inputs import read_blocks, read_staff
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.staff import Staff
from recsys.errors import ConfigurationError
from recsys.process.clock import now_ms

PATH = click.Path(path_type=Path)
file_argument = click.argument("source", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
staff_option = click.option("--staff", "staff_file", type=PATH, help="Staff: CSV or JSON of user_id and course_id.")
courses_option = click.option("--courses", "courses_file", type=PATH, help="Catalogue, to name the courses it lacks.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Read and count; send nothing and ask no Kafka.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def staff_of(path: Path | None) -> Staff:
    """The staff of a file, or nobody."""
    return Staff() if path is None else read_staff(path)


def tracking_options(command: Any) -> Any:
    """The options that decide on Open edX's tracking events."""
    for option in (
        click.option("--navigation", is_flag=True, help="Count steps inside a course as a view a day."),
        click.option(
            "--grades/--no-grades",
            default=None,
            help="Whether a course grade counts as progress.  [default: only without --blocks]",
        ),
        click.option(
            "--blocks",
            "blocks_file",
            type=PATH,
            help="Blocks a course has: CSV of course_id and blocks, or a JSON object; else completed blocks are one "
            "`play` a day.",
        ),
        click.option(
            "--completions",
            "completions_file",
            type=PATH,
            help="Where completed blocks are kept from run to run: for logs that are read day by day, with --blocks.",
        ),
        staff_option,
    ):
        command = option(command)
    return command


@contextmanager
def tracking_rules(
    *,
    staff_file: Path | None,
    blocks_file: Path | None,
    completions_file: Path | None,
    grades: bool | None,
    navigation: bool,
) -> Iterator[tuple[OpenEdxRules, Callable[[], None]]]:
    """The rules that the options name, and what keeps the completed blocks once their events were acknowledged.

    Raises:
        InputError: A file cannot be read.
        ConfigurationError: Completions without blocks.
    """
    if completions_file is not None and blocks_file is None:
        raise ConfigurationError("--completions needs --blocks: quarters are shares of them")
    blocks = {} if blocks_file is None else read_blocks(blocks_file)
    staff = staff_of(staff_file)
    with nullcontext() if completions_file is None else closing(FilePlaces(completions_file)) as kept:
        rules = OpenEdxRules(
            now_ms,
            staff=staff,
            completions=Completions(blocks, kept),
            grades=blocks_file is None if grades is None else grades,
            navigation=navigation,
        )
        yield rules, (lambda: None) if kept is None else kept.save
