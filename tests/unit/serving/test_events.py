"""`POST /v1/events`: everything of a request is accepted and acknowledged, or nothing is, with the reasons."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from recsys.events import decode
from serving.events.incoming import MAX_BODY_BYTES

NOW_MS = 1_790_000_000_000
EVENT = {"event_id": "e1", "user_id": "ada", "course_id": "c1", "type": "click", "timestamp": NOW_MS - 5}


async def post(world: Any, content: Any, **headers: str) -> httpx.Response:
    async with world.client(**{"content-type": "application/json", **headers}) as client:
        response: httpx.Response = await client.post("/v1/events", content=content)
        return response


def refusal(response: httpx.Response) -> tuple[str, str]:
    assert response.status_code == 422, response.text
    (only,) = response.json()["refused"]
    assert set(only) == {"index", "reason", "detail"}
    return only["reason"], only["detail"]


async def test_one_event_is_accepted(world: Any) -> None:
    response = await post(world, json.dumps(EVENT))
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "events": [{"partition": 5, "offset": 0}]})
    assert world.producer.sent == [decode(json.dumps(EVENT).encode(), arrival_ms=NOW_MS)]


async def test_a_list_is_accepted_in_order(world: Any) -> None:
    events = [{**EVENT, "event_id": str(i)} for i in range(500)]
    response = await post(world, "\n " + json.dumps(events))
    body = response.json()
    assert (response.status_code, body["accepted"]) == (202, 500)
    assert [event["offset"] for event in body["events"]] == list(range(500))
    assert [event.event_id for event in world.producer.sent] == [str(i) for i in range(500)]


async def test_a_time_slightly_ahead_is_clamped_to_arrival(world: Any) -> None:
    assert (await post(world, json.dumps({**EVENT, "timestamp": NOW_MS + 60_000}))).status_code == 202
    assert world.producer.sent[0].timestamp == NOW_MS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "sneeze"}, "unknown_type"),
        ({"type": "erase", "course_id": ""}, "unknown_type"),
        ({"type": "merge", "course_id": "", "into": "v"}, "unknown_type"),
        ({"event_id": ""}, "bad_id"),
        ({"user_id": "x" * 256}, "bad_id"),
        ({"user_id": "a\r\nb"}, "bad_id"),
        ({"timestamp": NOW_MS + 400_000}, "in_the_future"),
        ({"timestamp": 5}, "before_2000"),
        ({"timestamp": "yesterday"}, "bad_timestamp"),
        ({"timestamp": True}, "bad_timestamp"),
        ({"type": "rate", "value": 6}, "bad_value"),
        ({"type": "progress"}, "bad_value"),
        ({"v": 2}, "unsupported_version"),
        ({"value": float("nan")}, "not_json"),
        ({"value": float("inf")}, "not_json"),
    ],
)
async def test_a_refused_event_has_its_reason(world: Any, change: dict[str, Any], reason: str) -> None:
    assert refusal(await post(world, json.dumps({**EVENT, **change})))[0] == reason
    assert world.producer.sent == []
    counted = world.service.metrics.registry.get_sample_value("recsys_events_refused_total", {"reason": reason})
    assert counted == 1


@pytest.mark.parametrize(
    "body",
    ["{", "[{]", "nonsense", "[1,", b"\xff\xfe", b"\x80\x04N."],
)
async def test_what_is_no_json_is_refused_as_such(world: Any, body: Any) -> None:
    assert refusal(await post(world, body))[0] == "not_json"


@pytest.mark.parametrize("body", ["[" * 10_000, '{"a":' * 10_000, "[" + '{"a":' * 10_000, "[" * 34 + "]" * 34])
async def test_what_nests_too_deep_is_refused_as_such(world: Any, body: str) -> None:
    assert refusal(await post(world, body))[0] == "too_deep"


async def test_in_a_list_an_event_may_nest_as_deep_as_alone(world: Any) -> None:
    event = json.dumps(EVENT)[:-1] + ', "x": ' + "[" * 31 + "]" * 31 + "}"
    assert (await post(world, event)).status_code == 202
    assert (await post(world, f"[{event}]")).status_code == 202


@pytest.mark.parametrize(("body", "reason"), [("", "empty"), ("null", "schema"), ('"x"', "schema"), ("[[]]", "schema")])
async def test_json_that_is_no_event_is_refused(world: Any, body: str, reason: str) -> None:
    assert refusal(await post(world, body))[0] == reason


async def test_the_event_id_is_required(world: Any) -> None:
    event = {name: value for name, value in EVENT.items() if name != "event_id"}
    reason, detail = refusal(await post(world, json.dumps(event)))
    assert reason == "schema"
    assert detail.endswith("Object missing required field `event_id`")


async def test_one_refused_event_refuses_the_request_and_every_refusal_is_listed(world: Any) -> None:
    events = [EVENT, {**EVENT, "type": "sneeze"}, EVENT, {}]
    response = await post(world, json.dumps(events))
    assert response.status_code == 422
    body = response.json()
    assert (body["error"], body["detail"]) == (
        "refused_events",
        "expected valid events, received 2 refused of 4; none was accepted",
    )
    assert [(one["index"], one["reason"]) for one in body["refused"]] == [(1, "unknown_type"), (3, "schema")]
    assert world.producer.sent == []


async def test_an_empty_list_is_refused(world: Any) -> None:
    response = await post(world, "[]")
    assert (response.status_code, response.json()["error"]) == (422, "no_events")


async def test_too_many_events_are_refused(world: Any) -> None:
    response = await post(world, json.dumps([EVENT] * 501))
    assert response.status_code == 413
    assert response.json() == {"error": "too_large", "detail": "expected at most 500 events in a request, received 501"}


async def test_an_announced_huge_body_is_refused_unread(world: Any) -> None:
    response = await post(world, "{}", **{"content-length": str(MAX_BODY_BYTES + 1)})
    assert response.status_code == 413
    assert response.json()["detail"] == "expected a body of at most 1000000 bytes, received 1000001"


async def test_a_huge_body_is_refused_while_it_is_read(world: Any) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            assert read < 100
            yield b" " * 100_000

    assert (await post(world, endless())).status_code == 413


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_foreign_web_page_could_send_is_refused(world: Any, given: str) -> None:
    response = await post(world, json.dumps(EVENT), **{"content-type": given})
    assert response.status_code == 415
    assert response.json() == {
        "error": "unsupported_media_type",
        "detail": f"expected Content-Type: application/json, received {given!r}",
    }


async def test_without_kafka_it_is_a_503_that_says_when_to_come_back(world: Any) -> None:
    world.producer.connected = False
    response = await post(world, json.dumps(EVENT))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"] == "unavailable"
    assert "again is safe" in response.json()["detail"]
