"""The summary of an ingest, as tables and as JSON."""

from __future__ import annotations

import json

import click
from rich.table import Table

from infra.ingest.sending import Ingested
from recsys.adapters.summary import MOST_COURSES, Summary
from recsys.errors import InputError
from recsys.terminal_tables import print_table


def show(ingested: Ingested, *, as_json: bool, dry_run: bool) -> None:
    """Prints what an ingest did.

    Raises:
        InputError: There were lines, and none could be read.
    """
    if as_json:
        click.echo(json.dumps({**ingested.document(), "dry_run": dry_run}))
    else:
        show_tables(ingested.summary)
        sent = "nothing sent (dry run)" if dry_run else f"{ingested.acknowledged} acknowledged by Kafka"
        click.echo(f"{ingested.summary.sent} events, {sent}, in {ingested.seconds:.1f} s")
    refuse_if_nothing_read(ingested.summary)


def show_tables(summary: Summary) -> None:
    """Prints the counts: events, skipped and refused lines, learners, unjoined courses."""
    if summary.events:
        table = Table("event of the platform", "becomes", "events")
        for (name, kind), number in summary.events.most_common():
            table.add_row(name, kind, str(number))
        print_table(table)
    if summary.skipped:
        table = Table("skipped", "why", "lines")
        for (name, why), number in summary.skipped.most_common():
            table.add_row(name, why, str(number))
        print_table(table)
    if summary.refused:
        table = Table("refused", "lines", "the first of them")
        for reason, found in summary.refused.items():
            table.add_row(reason, str(found.lines), found.example)
        print_table(table)
    click.echo(f"{summary.read} lines, {len(summary.learners)} learners, {_courses(summary)}")


def refuse_if_nothing_read(summary: Summary) -> None:
    """Gives a log of which no line is one of the platform's the exit status 2.

    Raises:
        InputError: There were lines, and all were refused.
    """
    if summary.nothing_read:
        reason, found = next(iter(summary.refused.items()))
        raise InputError(f"none of {summary.read} lines could be read: {reason}, {found.example}")


def _courses(summary: Summary) -> str:
    unjoined = summary.unjoined
    if unjoined is None:
        return f"{len(summary.courses)} courses (--courses FILE tells which of them the catalogue lacks)"
    named = ", ".join(list(unjoined)[:MOST_COURSES])
    return f"{len(summary.courses)} courses, {len(unjoined)} of them not in the catalogue" + (
        f": {named}{', …' if len(unjoined) > MOST_COURSES else ''}" if unjoined else ""
    )
