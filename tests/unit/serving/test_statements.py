"""`POST /xapi/statements` as a client sees it: ids for statements, all or none, the same again is 200."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from recsys.events import encode
from serving.events.incoming import MAX_BODY_BYTES, MAX_EVENTS

DATA = Path("tests/data/xapi")
VERSION = {"x-experience-api-version": "1.0.3"}
JSON = {"content-type": "application/json"}
REGISTERED = "http://adlnet.gov/expapi/verbs/registered"


def statement(**changed: Any) -> dict[str, Any]:
    return {
        "id": "7cf5941a-9631-4741-83eb-28beb8ff28e2",
        "actor": {"name": "Planted Name", "account": {"homePage": "https://lms.example.org", "name": "7"}},
        "verb": {"id": REGISTERED},
        "object": {
            "id": "https://lms.example.org/course/course-v1:DemoX+C1+T1",
            "definition": {"type": "http://adlnet.gov/expapi/activities/course"},
        },
        "timestamp": "2026-09-01T10:00:00Z",
        **changed,
    }


async def post(world: Any, body: Any, **headers: str) -> httpx.Response:
    async with world.client(**{**JSON, **VERSION, **headers}) as client:
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        response: httpx.Response = await client.post("/xapi/statements", content=content)
        return response


def sample(world: Any, name: str, **labels: str) -> float:
    return world.service.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_one_statement_is_answered_with_its_id_and_becomes_an_event(world: Any) -> None:
    response = await post(world, statement())
    assert (response.status_code, response.json()) == (200, [statement()["id"]])
    assert response.headers["x-experience-api-version"] == "1.0.3"
    (event,) = world.producer.sent
    assert (event.user_id, event.course_id, event.type, event.source) == ("7", "DemoX+C1", "enroll", "xapi")
    assert b"Planted" not in encode(event)
    assert sample(world, "recsys_events_accepted_total") == 1


async def test_the_same_statement_again_is_200_and_the_same_event(world: Any) -> None:
    first, second = await post(world, statement()), await post(world, statement())
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert world.producer.sent[0] == world.producer.sent[1]


async def test_a_statement_without_an_id_and_time_gets_the_same_id_each_time_and_the_time_of_arrival(
    world: Any,
) -> None:
    nameless = {name: value for name, value in statement().items() if name not in {"id", "timestamp"}}
    first, second = await post(world, nameless), await post(world, nameless)
    assert first.json() == second.json()
    assert len(first.json()[0]) == 36
    assert {event.timestamp for event in world.producer.sent} == {world.clock.now_ms}


async def test_a_list_is_answered_in_order_and_what_maps_to_nothing_is_counted_and_answered(world: Any) -> None:
    sent = [
        statement(id="a"),
        statement(id="b", verb={"id": "https://example.org/verbs/planted@example.org"}),
        statement(id="c", verb={"id": "http://adlnet.gov/expapi/verbs/progressed"}),
    ]
    response = await post(world, sent)
    assert (response.status_code, response.json()) == (200, ["a", "b", "c"])
    assert [event.type for event in world.producer.sent] == ["enroll"]
    skipped = "recsys_statements_skipped_total"
    assert sample(world, skipped, verb="(other)") == 1
    assert sample(world, skipped, verb="http://adlnet.gov/expapi/verbs/progressed") == 1
    assert (await post(world, [])).json() == []


async def test_a_hundred_parts_completed_at_once_are_one_event_a_day(world: Any) -> None:
    blocks = gzip.decompress((DATA / "block_completions.jsonl.gz").read_bytes()).splitlines()
    response = await post(world, b"[" + b",".join(blocks) + b"]")
    assert (response.status_code, len(response.json())) == (200, 302)
    assert Counter(event.type for event in world.producer.sent) == {"play": 3, "enroll": 1, "complete": 1}


async def test_a_statement_is_voided_by_a_later_request_and_not_if_it_was_never_acknowledged(world: Any) -> None:
    void = statement(
        id="v",
        verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
        object={"objectType": "StatementRef", "id": statement()["id"]},
    )
    async with world.client(**JSON, **VERSION) as client:
        world.producer.connected = False
        assert (await client.post("/xapi/statements", json=statement())).status_code == 503
        world.producer.connected = True
        assert (await client.post("/xapi/statements", json=void)).json() == ["v"]
        assert world.producer.sent == []
        await client.post("/xapi/statements", json=statement())
        await client.post("/xapi/statements", json=void)
    enrolled, back = world.producer.sent
    assert (enrolled.type, back.type, back.timestamp) == ("enroll", "unenroll", enrolled.timestamp)


async def test_one_refused_statement_refuses_the_request(world: Any) -> None:
    response = await post(world, [statement(), statement(actor={"mbox": "mailto:planted@example.org"}), {}])
    assert response.status_code == 400
    body = response.json()
    assert body["error"] == "refused_statements"
    assert [(one["index"], one["reason"]) for one in body["refused"]] == [(1, "bad_id"), (2, "schema")]
    assert "planted" not in response.text
    assert world.producer.sent == []
    assert sample(world, "recsys_events_refused_total", reason="bad_id") == 1


@pytest.mark.parametrize(
    "body", ["", "{", "[{]", "null", '"x"', b"\xff", "[" * 10_000, '[{"a":' * 5_000, '{"statements":[]}']
)
async def test_what_is_no_statement_is_refused(world: Any, body: Any) -> None:
    response = await post(world, body)
    assert (response.status_code, response.json()["error"]) == (400, "refused_statements")


@pytest.mark.parametrize("line", (DATA / "damaged.jsonl").read_bytes().splitlines())
async def test_a_damaged_statement_is_400_or_counted_and_never_a_fault(world: Any, line: bytes) -> None:
    assert (await post(world, line)).status_code in {200, 400}


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"x-experience-api-version": ""}, 400, "unsupported_version"),
        ({"x-experience-api-version": "0.95"}, 400, "unsupported_version"),
        ({"x-experience-api-version": "1.0"}, 200, None),
        ({"x-experience-api-version": "2.0.0"}, 200, None),
        ({"content-type": "multipart/mixed; boundary=x"}, 415, "unsupported_media_type"),
        ({"content-encoding": "gzip"}, 415, "unsupported_encoding"),
    ],
)
async def test_headers(world: Any, headers: dict[str, str], status: int, error: str | None) -> None:
    response = await post(world, statement(), **headers)
    assert response.status_code == status
    assert error is None or response.json()["error"] == error
    assert status != 200 or response.headers["x-experience-api-version"][0] == headers["x-experience-api-version"][0]


async def test_too_much_is_refused(world: Any) -> None:
    assert (await post(world, [statement()] * (MAX_EVENTS + 1))).status_code == 413
    assert (await post(world, " " * (MAX_BODY_BYTES + 1))).status_code == 413


async def test_without_kafka_it_is_503_and_may_be_sent_again(world: Any) -> None:
    world.producer.connected = False
    response = await post(world, statement())
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "sending the same statements again is safe" in response.json()["detail"]


def encoded(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (encoded("lms:pass:wörd"), 200),
        (encoded("lms:pass:word"), 401),
        (encoded("lms"), 401),
        ("Basic %%%", 401),
        ("Bearer x", 401),
        ("", 401),
    ],
)
async def test_basic_credentials_are_asked_for_where_they_are_set(world: Any, given: str, status: int) -> None:
    credentials = SecretStr("lms:pass:wörd")
    world.settings = world.settings.model_copy(update={"xapi_credentials": credentials})
    world.restarted()
    response = await post(world, statement(), authorization=given)
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Basic ")
        assert world.producer.sent == []
        assert (await post(world, "no JSON", authorization=given)).status_code == 401  # nothing is read before


async def test_home_pages_of_the_settings_hold(world: Any) -> None:
    world.settings = world.settings.model_copy(update={"xapi_home_pages": {"https://lms.example.org": "lms:"}})
    world.restarted()
    assert (await post(world, statement())).status_code == 200
    assert world.producer.sent[0].user_id == "lms:7"
    other = {"account": {"homePage": "https://other.example.org", "name": "7"}}
    assert (await post(world, statement(actor=other))).status_code == 400


async def test_staff_of_a_course_leave_no_signal_in_it(world: Any, tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text("user_id,course_id\n7,DemoX+C1\n")
    world.settings = world.settings.model_copy(update={"xapi_staff_file": tmp_path / "staff.csv"})
    world.restarted()
    other = {"account": {"homePage": "https://lms.example.org", "name": "8"}}
    assert (await post(world, [statement(), statement(actor=other)])).status_code == 200
    assert [event.user_id for event in world.producer.sent] == ["8"]
    assert sample(world, "recsys_statements_skipped_total", verb=REGISTERED) == 1


@pytest.mark.parametrize(
    ("parameters", "body", "status"),
    [
        ({"statementId": "s-1"}, statement(id="s-1"), 204),
        ({"statementId": "s-1"}, statement(id=None), 400),
        ({"statementId": "s-1"}, statement(id="s-2"), 400),
        ({}, statement(id="s-1"), 400),
        ({"statementId": "s-1"}, [statement(id="s-1")], 400),
        ({"statementId": "s-1"}, "{", 400),
    ],
)
async def test_put_takes_one_statement_under_its_id(
    world: Any, parameters: dict[str, str], body: Any, status: int
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    async with world.client(**JSON, **VERSION) as client:
        response = await client.put("/xapi/statements", params=parameters, content=content)
    assert response.status_code == status, response.text
    assert len(world.producer.sent) == (status == 204)
    assert status != 204 or (response.content, world.producer.sent[0].event_id) == (b"", "s-1")


async def test_a_statement_that_was_put_without_an_id_has_that_of_the_address(world: Any) -> None:
    nameless = {name: value for name, value in statement().items() if name != "id"}
    async with world.client(**JSON, **VERSION) as client:
        await client.put("/xapi/statements", params={"statementId": "s-9"}, json=nameless)
    assert world.producer.sent[0].event_id == "s-9"


async def test_another_method_is_405(world: Any) -> None:
    assert (await world.get("/xapi/statements")).status_code == 405
