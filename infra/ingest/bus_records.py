"""A record of Open edX's event bus, in Avro or JSON, to its type, its time and its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from infra.ingest.avro import FindSchema, read_avro, schema_number, type_of
from recsys.adapters import Outcome, Refused, Skipped
from recsys.adapters.fields import json_object, utc_ms
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.openedx_bus import bus_outcome
from recsys.errors import RefusalReason

TOMBSTONE: Final = "(tombstone)"


class BusEvent(NamedTuple):
    """A decoded event.

    Attributes:
        event_type: `ce_type`.
        at_ms: `ce_time`, else when the record was appended; ms since 1970 UTC.
        data: Its fields.
    """

    event_type: str
    at_ms: int
    data: Mapping[str, Any]


def outcome_of(
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    appended_ms: int,
    schemas: FindSchema,
    rules: OpenEdxRules,
) -> Outcome:
    """What becomes of one record.

    Args:
        value: Avro in Confluent's wire format, or JSON: the fields alone, or a CloudEvent with `type`, `time`, `data`.
        headers: Of the record; `ce_type` and `ce_time` are read.
        appended_ms: When the broker appended it, ms since 1970 UTC.
        schemas: Finds Avro schemas.
        rules: What the operator decided.

    Raises:
        ServiceUnavailable: `schemas` raised it.
    """
    if not value:
        return Skipped(TOMBSTONE)
    attributes = {name.lower(): (raw or b"").decode("utf-8", "replace") for name, raw in headers}
    event_type, at_ms = attributes.get("ce_type") or None, utc_ms(attributes.get("ce_time"))
    number = schema_number(value)
    found = _from_json(value) if number is None else _from_avro(value, number, event_type, schemas)
    if not isinstance(found, BusEvent):
        return found
    return bus_outcome(event_type or found.event_type, found.data, at_ms or found.at_ms or appended_ms, rules)


def _from_avro(value: bytes, number: int, event_type: str | None, schemas: FindSchema) -> BusEvent | Refused:
    schema = schemas(number, event_type)
    if schema is None:
        return Refused(RefusalReason.SCHEMA, f"expected a known Avro schema, received number {number}")
    data = read_avro(value, schema)
    if data is None:
        return Refused(RefusalReason.SCHEMA, f"expected a body of Avro schema {number}, received another")
    return BusEvent(type_of(schema) or "", 0, data)


def _from_json(value: bytes) -> BusEvent | Refused:
    found = json_object(value)
    if isinstance(found, Refused):
        return found
    data, event_type = found.get("data"), found.get("type")
    if isinstance(data, Mapping) and isinstance(event_type, str):
        return BusEvent(event_type, utc_ms(found.get("time")) or 0, data)
    return BusEvent("", 0, found)
