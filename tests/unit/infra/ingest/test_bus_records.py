"""Records of the event bus: Avro in Confluent's wire format, JSON, and whatever else lies on a topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.ingest.avro import FindSchema, SchemaRegistry, schemas_in
from infra.ingest.bus import find_schemas
from infra.ingest.bus_records import TOMBSTONE, outcome_of
from recsys.adapters import Mapped, Outcome, Refused, Skipped
from recsys.adapters.openedx import OpenEdxRules
from recsys.errors import InputError, RefusalReason, ServiceUnavailable
from recsys.settings import load_settings
from tests.doubles.openedx_bus import ADDED, CREATED, SCHEMAS, WHEN_MS, Headers, as_json, avro, enrollment, headers

NOW_MS = 1_795_000_000_000
APPENDED_MS = 1_789_000_000_000


def outcome(value: bytes | None, given_headers: Headers | None = None, schemas: FindSchema | None = None) -> Outcome:
    rules = OpenEdxRules(lambda: NOW_MS)
    return outcome_of(
        value, headers(CREATED) if given_headers is None else given_headers, APPENDED_MS, schemas or files(), rules
    )


def files() -> FindSchema:
    return schemas_in(SCHEMAS)


def no_schemas(_number: int, _event_type: str | None) -> None:
    return None


def test_avro_by_the_files_schema() -> None:
    found = outcome(avro(CREATED, enrollment(5)))
    assert isinstance(found, Mapped)
    assert (found.event.user_id, found.event.type, found.event.timestamp) == ("5", "enroll", WHEN_MS)


def test_the_same_in_json_is_the_same() -> None:
    assert outcome(as_json(enrollment(5))) == outcome(avro(CREATED, enrollment(5)))
    whole = {"specversion": "1.0", "type": CREATED, "time": "2026-09-01T10:00:00.250Z", "data": enrollment(5)}
    assert outcome(as_json(whole), []) == outcome(avro(CREATED, enrollment(5)))


def test_an_event_without_a_time_has_that_of_its_record() -> None:
    found = outcome(as_json(enrollment(5)), [("ce_type", CREATED.encode())])
    assert isinstance(found, Mapped)
    assert found.event.timestamp == APPENDED_MS


@pytest.mark.parametrize("value", [None, b""])
def test_a_tombstone_is_skipped(value: bytes | None) -> None:
    assert outcome(value) == Skipped(TOMBSTONE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (avro(CREATED, enrollment(5))[:20], RefusalReason.SCHEMA),
        (b"\0\0\0\0\x07" + b"\xff" * 40, RefusalReason.SCHEMA),
        (b"\0\0\0", RefusalReason.NOT_JSON),
        (b"\x01\x02\x03", RefusalReason.NOT_JSON),
        (b"planted.email@example.org", RefusalReason.NOT_JSON),
        (b"[1]", RefusalReason.NOT_JSON),
    ],
)
def test_what_cannot_be_decoded_is_refused(value: bytes, reason: RefusalReason) -> None:
    found = outcome(value)
    assert isinstance(found, Refused)
    assert found.reason == reason
    assert "planted" not in found.example


def test_avro_without_a_schema_is_refused_with_its_number() -> None:
    found = outcome(avro(CREATED, enrollment(5), schema_number=300), schemas=no_schemas)
    assert found == Refused(RefusalReason.SCHEMA, "expected a known Avro schema, received number 300")


@given(st.binary(max_size=120))
def test_whatever_a_record_holds_nothing_is_raised(body: bytes) -> None:
    for value in (body, b"\0\0\0\0\x07" + body, b"{" + body):
        outcome(value)


def test_a_folder_without_schemas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"received none"):
        schemas_in(tmp_path)
    (tmp_path / "a.avsc").write_text('{"type": "record"}')
    with pytest.raises(InputError, match="expected an Avro schema"):
        schemas_in(tmp_path)


class Registry:
    """A schema registry that knows schema 7, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.status = 200
        registry = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append((self.path, self.headers.get("Authorization")))
                known = registry.status == 200 and self.path == "/schemas/ids/7"
                body = json.dumps({"schema": (SCHEMAS / f"{CREATED}.avsc").read_text()}).encode()
                self.send_response(200 if known else 404 if registry.status == 200 else registry.status)
                self.end_headers()
                self.wfile.write(body if known else b"{}")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    found = Registry()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_a_registry_is_asked_once_for_a_schema(registry: Registry) -> None:
    ask = SchemaRegistry(registry.url, ("u", "p"))
    for number in (5, 6):
        found = outcome(avro(CREATED, enrollment(number)), [], ask)
        assert isinstance(found, Mapped)
        assert found.event.type == "enroll"  # the type of the event is the schema's
    assert registry.asked == [("/schemas/ids/7", "Basic dTpw")]


def test_a_schema_that_the_registry_lacks_refuses_the_record(registry: Registry) -> None:
    ask = SchemaRegistry(registry.url)
    assert isinstance(outcome(avro(CREATED, enrollment(5), schema_number=8), schemas=ask), Refused)
    assert isinstance(outcome(avro(CREATED, enrollment(5), schema_number=8), schemas=ask), Refused)
    assert registry.asked == [("/schemas/ids/8", None)]


def test_a_registry_that_fails_stops_the_reading(registry: Registry) -> None:
    registry.status = 503
    with pytest.raises(ServiceUnavailable, match="answers 503"):
        outcome(avro(CREATED, enrollment(5)), schemas=SchemaRegistry(registry.url))
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        outcome(avro(CREATED, enrollment(5)), schemas=SchemaRegistry("http://127.0.0.1:9", timeout_s=0.5))


@pytest.mark.parametrize(
    ("overrides", "login"),
    [
        ({}, None),
        ({"schema_registry_username": "u", "schema_registry_password": "p"}, "Basic dTpw"),
    ],
)
def test_the_settings_say_where_schemas_come_from(
    registry: Registry, overrides: dict[str, Any], login: str | None
) -> None:
    settings = load_settings(schema_registry_url=registry.url, **overrides)
    find: Callable[..., Any] = find_schemas(settings, None)
    assert find(7, None) is not None
    assert registry.asked == [("/schemas/ids/7", login)]
    assert find_schemas(load_settings(), None)(7, CREATED) is None
    assert find_schemas(settings, SCHEMAS)(99, ADDED) is not None
