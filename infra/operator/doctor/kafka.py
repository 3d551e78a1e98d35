"""What `recsys doctor` asks of Kafka. Blocking."""

from __future__ import annotations

from collections.abc import Iterator

from infra.operator.doctor.finding import Finding, Level, ok, problem, warning
from infra.operator.topics import topic_plans
from recsys.catalogue_log import Catalogue
from recsys.errors import ConfigurationError, RecsysError
from recsys.kafka.admin import check_configuration, partition_counts
from recsys.kafka.bounded import BoundedLog
from recsys.kafka.clients import admin_client, bounded_consumer
from recsys.kafka.diagnosis import diagnose
from recsys.settings import Settings


def kafka_findings(settings: Settings) -> list[Finding]:
    """Whether brokers answer where they say, the topics, and the records of the catalogue."""
    reached = list(_reached(settings))
    if any(finding.level is Level.PROBLEM for finding in reached):
        return reached
    try:
        return [*reached, *_topics(settings), *_catalogue(settings)]
    except RecsysError as error:
        return [*reached, problem("kafka", error)]


def _reached(settings: Settings) -> Iterator[Finding]:
    try:
        met = diagnose(settings)
    except ConfigurationError as error:
        yield problem("kafka", error)
        return
    for finding in met:
        yield (problem if finding.fatal else warning)("kafka", finding.message)
    if not any(finding.fatal for finding in met):
        yield ok("kafka", f"answers at {settings.kafka_bootstrap_servers} by {settings.kafka_security_protocol}")


def _topics(settings: Settings) -> Iterator[Finding]:
    plans = topic_plans(settings, 1)
    with admin_client(settings) as client:
        there = partition_counts(client, [plan.name for plan in plans])
        for plan in plans:
            check = f"topic {plan.name}"
            if plan.name not in there:
                yield problem(check, "is not there", "`recsys topics` creates it")
                continue
            try:
                if plan.relied_upon and not settings.kafka_embedded:
                    check_configuration(client, plan.name, plan.relied_upon)
            except ConfigurationError as error:
                yield problem(check, error)
                continue
            relied_upon = ", ".join(f"{name}={value}" for name, value in plan.relied_upon.items())
            yield ok(check, f"partitions: {there[plan.name]}" + (f"; {relied_upon}" if relied_upon else ""))


def _catalogue(settings: Settings) -> Iterator[Finding]:
    catalogue = Catalogue()
    try:
        with bounded_consumer(settings) as consumer:
            for record in BoundedLog(consumer, settings.courses_topic).records():
                catalogue.add(record.key, record.value, record.offset)
    except ConfigurationError:
        return  # the topic is not there, which was said
    for remark in catalogue.remarks():
        yield warning("catalogue", remark, "send the courses again with `recsys replay --courses`")
    if not catalogue.refused:
        yield ok("catalogue", f"{len(catalogue.courses)} courses of {catalogue.records} records, none refused")
