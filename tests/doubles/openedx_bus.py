"""Records as Open edX puts them on its event bus: made here, with personal data planted in every user."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro

SCHEMAS = Path("tests/data/openedx/schemas")
CREATED = "org.openedx.learning.course.enrollment.created.v1"
ADDED = "org.openedx.learning.user.course_access_role.added.v1"
WHEN = "2026-09-01T10:00:00.250000+00:00"
WHEN_MS = 1_788_256_800_250
COURSE = "course-v1:DemoX+C1+2026_T1"
PII = {"username": "planted_username", "email": "planted.email@example.org", "name": "Planted Fullname"}

Headers = list[tuple[str, bytes]]


def user(number: int) -> dict[str, Any]:
    return {"id": number, "is_active": True, "pii": PII}


def enrollment(number: int, *, course: str = COURSE, by: int | None = None, active: bool = True) -> dict[str, Any]:
    return {
        "enrollment": {
            "user": user(number),
            "course": {"course_key": course, "display_name": "One"},
            "mode": "audit",
            "is_active": active,
            "creation_date": WHEN,
            "created_by": None if by is None else user(by),
        }
    }


def role(number: int, *, course: str = COURSE, org: str = "DemoX") -> dict[str, Any]:
    data = {"user": user(number), "org_key": org, "course_key": course, "role": "staff"}
    return {"course_access_role_data": data}


def headers(event_type: str, when: str = WHEN) -> Headers:
    return [("ce_type", event_type.encode()), ("ce_time", when.encode()), ("ce_id", b"not-looked-at")]


def avro(event_type: str, data: dict[str, Any], *, schema_number: int = 7) -> bytes:
    schema = fastavro.parse_schema(json.loads((SCHEMAS / f"{event_type}.avsc").read_text()))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, data)
    return b"\0" + schema_number.to_bytes(4, "big") + body.getvalue()


def as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()
