"""The commands of `recsys ingest`: one for each form in which a platform gives away what its learners do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from infra.ingest.bus import BusReading, find_schemas, read_bus
from infra.ingest.options import (
    PATH,
    courses_option,
    dry_run_option,
    file_argument,
    json_option,
    staff_of,
    staff_option,
    tracking_options,
    tracking_rules,
)
from infra.ingest.sending import ingest_file, sending
from infra.ingest.shown import show
from recsys.adapters import Parse
from recsys.adapters.completions import Completions
from recsys.adapters.inputs import MOST_BYTES, read_blocks, read_course_ids
from recsys.adapters.moodle import MoodleRules, parse_row
from recsys.adapters.moodle_rows import row_lines
from recsys.adapters.openedx_tracking import parse_line
from recsys.adapters.summary import Summary
from recsys.adapters.xapi import XapiAdapter, statement_lines
from recsys.adapters.xapi_fields import XapiRules
from recsys.adapters.xapi_voided import FileIndex, ProcessIndex
from recsys.process.clock import now_ms
from recsys.process.logs import configure_logging
from recsys.settings import load_settings


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Set by SIGTERM and Ctrl-C, which otherwise would end the process between sending and committing."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@click.group("ingest")
def ingest() -> None:
    """Send what a learning platform wrote to the interactions topic.

    Personal data stays behind: no name, address, e-mail, host or referer is sent, logged or shown. The same input
    again changes nothing. What is no learner's signal is skipped and counted by name; what cannot be read is refused
    and counted with an example. The exit status is 0 unless nothing could be read. docs/platforms.md has the tables.
    """


def send_file(
    source: Path, parse: Parse, *, courses_file: Path | None, dry_run: bool, as_json: bool, **form: Any
) -> None:
    """What every command that reads a file does once its adapter is chosen.

    Args:
        source: The file.
        parse: The adapter.
        courses_file: The catalogue, or None.
        dry_run: Send nothing.
        as_json: Print JSON.
        **form: `split` and `max_line_bytes` of `ingest_file`.

    Raises:
        InputError: A file cannot be read, or no line of the source.
        ServiceUnavailable: Kafka does not answer, or did not acknowledge every record.
    """
    summary = Summary(None if courses_file is None else read_course_ids(courses_file))
    settings = None if dry_run else load_settings()
    show(ingest_file(source, parse, summary, settings, **form), as_json=as_json, dry_run=dry_run)


@ingest.command("openedx-logs")
@file_argument
@tracking_options
@courses_option
@dry_run_option
@json_option
def openedx_logs(source: Path, courses_file: Path | None, dry_run: bool, as_json: bool, **rules: Any) -> None:
    """Open edX tracking logs (tracking.log), plain or gzip, from a file or standard input.

    `zcat -f tracking.log-*.gz tracking.log | recsys ingest openedx-logs -` reads a whole history, also where a line
    was cut by the rotation. Times without a zone are UTC.
    """
    with tracking_rules(**rules) as (decided, keep):
        send_file(
            source,
            lambda line: parse_line(line, decided),
            courses_file=courses_file,
            dry_run=dry_run,
            as_json=as_json,
        )
        if not dry_run:
            keep()


@ingest.command("xapi")
@file_argument
@click.option(
    "--index",
    "index_file",
    type=PATH,
    default=Path("var/ingest/xapi.sqlite3"),
    show_default=True,
    help="Where statements that passed are kept, so that a later one can void them; a dry run keeps none.",
)
@click.option(
    "--blocks",
    "blocks_file",
    type=PATH,
    help="Parts a course has: CSV of course_id and blocks, or a JSON object; else completed ones are one `play` a day.",
)
@staff_option
@courses_option
@dry_run_option
@json_option
def xapi(
    source: Path, index_file: Path, blocks_file: Path | None, staff_file: Path | None, dry_run: bool, **options: Any
) -> None:
    """XAPI statements, plain or gzip, from a file or standard input.

    A line holds one statement, an array of them, or what a record store answers ({"statements": [...]}). A statement
    that voids an earlier one takes it back, also one of an earlier file, as long as --index has it.
    """
    completions = Completions({} if blocks_file is None else read_blocks(blocks_file))
    rules = XapiRules(load_settings().xapi_home_pages, staff_of(staff_file), completions)
    with nullcontext(ProcessIndex()) if dry_run else FileIndex(index_file) as index:
        send_file(
            source,
            XapiAdapter(index, now_ms=now_ms, rules=rules),
            split=statement_lines,
            max_line_bytes=MOST_BYTES,
            dry_run=dry_run,
            **options,
        )


@ingest.command("moodle")
@file_argument
@click.option(
    "--modules",
    "modules_file",
    type=PATH,
    help="Modules with completion a course has: CSV of course_id and blocks, or a JSON object; else completed modules "
    "are one `play` a day.",
)
@staff_option
@courses_option
@dry_run_option
@json_option
def moodle(source: Path, modules_file: Path | None, staff_file: Path | None, **options: Any) -> None:
    """Moodle's log, plain or gzip: an export of mdl_logstore_standard_log as CSV with a header, or as JSON.

    JSON may be one row a line, or an array on one line.
    """
    completions = Completions({} if modules_file is None else read_blocks(modules_file))
    rules = MoodleRules(now_ms, staff_of(staff_file), completions)
    send_file(source, lambda row: parse_row(row, rules), split=row_lines, max_line_bytes=MOST_BYTES, **options)


@ingest.command("openedx-bus")
@click.option("--topic", "topics", multiple=True, required=True, help="A topic of the bus; may be given many times.")
@click.option("--group", default="recsys-openedx-bus", show_default=True, help="Consumer group.")
@click.option("--bus", "servers", help="Kafka of the bus, host:port.  [default: KAFKA_BOOTSTRAP_SERVERS]")
@click.option("--schemas", "schemas_folder", type=PATH, help="Folder of *.avsc files, where there is no registry.")
@click.option("--to-end", is_flag=True, help="End once everything is read that was there at the start.")
@tracking_options
@json_option
def openedx_bus(
    topics: tuple[str, ...],
    group: str,
    servers: str | None,
    schemas_folder: Path | None,
    to_end: bool,
    as_json: bool,
    staff_file: Path | None,
    **rules: Any,
) -> None:
    """Open edX's event bus on Kafka: a consumer group that re-keys its events by learner, until SIGTERM or Ctrl-C.

    Reads Avro (Confluent wire format; schemas from RECSYS_SCHEMA_REGISTRY_URL or --schemas) and JSON. Offsets are
    committed after the events were acknowledged. The file of --staff is read and, as roles come and go, rewritten.
    """
    settings = load_settings()
    bus = settings if servers is None else load_settings(kafka_bootstrap_servers=servers)
    configure_logging(settings)
    existing = staff_file if staff_file is not None and staff_file.exists() else None
    schemas = find_schemas(settings, schemas_folder)
    with tracking_rules(staff_file=existing, **rules) as (decided, keep):
        reading = BusReading(topics, group, schemas, decided, staff_file=staff_file, keep=keep, to_end=to_end)
        with _told_to_stop() as stop, sending(settings) as send:
            done = read_bus(bus, reading, send, stop.is_set)
    show(done, as_json=as_json, dry_run=False)
