"""The command, and the order of its checks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from infra.operator.doctor.finding import Finding, Level, ok, problem
from infra.operator.doctor.kafka import kafka_findings
from infra.operator.doctor.redis import redis_findings
from infra.operator.status import read_status
from recsys.errors import ConfigurationError, RecsysError
from recsys.kafka.admin import log_identity
from recsys.owner import LogIdentity
from recsys.settings import Settings, load_settings

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def command(as_json: bool) -> None:
    """Check settings, Kafka, Redis, their agreement and the model; say what to do.

    Changes nothing but scratch keys that it deletes again. The status is 0 only without a problem.
    """
    found = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], ensure_ascii=False))
    else:
        for finding in found:
            level = click.style(f"{finding.level:8}", fg=STYLES[finding.level])
            click.echo(f"{level} {finding.check}: {finding.found}" + (f" → {finding.remedy}" if finding.remedy else ""))
    if any(finding.level is Level.PROBLEM for finding in found):
        sys.exit(1)


def examine() -> list[Finding]:
    """Every check, in the order in which one thing needs another."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        return [problem("settings", error)]
    found = [ok("settings", "all can work"), *kafka_findings(settings)]
    kafka_works = not any(finding.check == "kafka" and finding.level is Level.PROBLEM for finding in found)
    found += asyncio.run(redis_findings(settings, _identity(settings) if kafka_works else None))
    redis_works = not any(finding.check == "redis" and finding.level is Level.PROBLEM for finding in found)
    return [*found, *_partitions(settings)] if kafka_works and redis_works else found


def _identity(settings: Settings) -> LogIdentity | None:
    try:
        return log_identity(settings)
    except RecsysError:
        return None  # the topic's own check says it


def _partitions(settings: Settings) -> Sequence[Finding]:
    try:
        status = asyncio.run(read_status(settings))
    except RecsysError:
        return []  # the topic's or the topology's own check says it
    stopped = [
        problem(f"partition {row.partition}", f"stopped {row.stopped}", "docs/operations.md, then `recsys resume`")
        for row in status.partitions
        if row.stopped is not None
    ]
    if stopped or status.problem is not None:
        return stopped
    waiting = "of unknown lag" if status.lag is None else f"{status.lag} records behind"
    return [ok("partitions", f"{len(status.partitions)}, none stopped, {waiting}")]
