"""FastAPI cannot see plain Starlette routes, so this module adds them to its OpenAPI document, schemas by msgspec."""

from __future__ import annotations

from typing import Any

import msgspec

from recsys.events import Interaction
from recsys.vocabulary import DEFAULT_WEIGHTS
from serving.events.incoming import MAX_BODY_BYTES, MAX_EVENTS
from serving.http.problems import ProblemBody
from serving.http.routes.operations import NOT_READY, Health
from serving.http.routes.recommendations import VARIANTS_HEADER
from serving.http.routes.statements import VERSION_HEADER
from serving.recommend.answers import Accepted, Recommendations, TrendingCourses
from serving.recommend.query import ATTRIBUTES, MAX_EXCLUDED, MAX_ID_LENGTH, MAX_N
from serving.service import Readiness

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_TEXT: Json = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
_STATUSES = {
    400: "A statement is refused, or the version header",
    401: "The credentials are missing or wrong",
    413: "The body or the list is too large",
    415: "The body is not application/json, or compressed",
    422: "A parameter or an event is refused",
    503: "Nothing can answer now; Retry-After says when to try again",
}


def add_plain_routes(document: Json, *, default_n: int) -> Json:
    """Adds the plain routes to FastAPI's document, in place.

    Args:
        document: What FastAPI made of its own routes.
        default_n: Courses in an answer when `n` is not given.
    """
    answers, components = msgspec.json.schema_components(
        [Recommendations, TrendingCourses, Accepted, ProblemBody, Interaction, Health, Readiness],
        ref_template=_REFERENCE,
    )
    recommendations, trending, accepted, _, event, health, readiness = answers
    components["Interaction"]["properties"]["timestamp"] = _timestamp()
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    n = _parameter("n", {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": default_n})
    document["paths"] |= {
        "/v1/users/{user_id}/recommendations": {"get": _recommendations(n, recommendations)},
        "/v1/trending": {"get": _operation("trending", "What everybody engages with", 200, trending, (422, 503), [n])},
        "/v1/events": {"post": _events(event, accepted)},
        "/xapi/statements": {"post": _statements(), "put": _one_statement()},
        "/healthz": {"get": _asked_by_operators("healthz", "Liveness; touches nothing", health)},
        "/readyz": {"get": _readyz(readiness)},
        "/metrics": {"get": _metrics()},
    }
    return document


def _recommendations(n: Json, answer: Json) -> Json:
    user = {"name": "user_id", "in": "path", "required": True, "schema": _TEXT}
    exclude = {"type": "array", "items": _TEXT, "maxItems": MAX_EXCLUDED}
    filters = [_parameter(name, _TEXT) for name in ATTRIBUTES]
    number = {"type": "integer", "minimum": 0}
    event = [_parameter(name, number) for name in ("after_offset", "after_partition")]
    parameters = [user, n, *filters, _parameter("exclude", exclude), *event]
    operation = _operation("recommendations", "The top-N of one learner", 200, answer, (422, 503), parameters)
    operation["responses"]["200"]["headers"] = {
        VARIANTS_HEADER: {"description": "experiment=variant, …", "schema": {"type": "string"}}
    }
    return operation


def _events(event: Json, answer: Json) -> Json:
    operation = _operation("events", "Send interactions", 202, answer, (413, 415, 422, 503), [])
    operation["description"] = (
        f"One event, or a list of up to {MAX_EVENTS}, in at most {MAX_BODY_BYTES} bytes. All are accepted or none. "
        f"`event_id` is required; sending an event again changes nothing. Types: {', '.join(DEFAULT_WEIGHTS)}."
    )
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [event, several]}}},
    }
    return operation


def _statements() -> Json:
    version = {"name": VERSION_HEADER, "in": "header", "required": True, "schema": {"type": "string"}}
    ids = {"type": "array", "items": {"type": "string"}}
    problems = (400, 401, 413, 415, 503)
    operation = _operation("statements", "Send xAPI statements; answers their ids", 200, ids, problems, [version])
    operation["description"] = (
        f"One statement, or a list of up to {MAX_EVENTS}, in at most {MAX_BODY_BYTES} bytes. All are accepted or none. "
        "The same statement again is answered 200. What maps to no event is counted and answered all the same."
    )
    statement = {"type": "object", "required": ["actor", "verb", "object"]}
    several = {"type": "array", "items": statement, "maxItems": MAX_EVENTS}
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [statement, several]}}},
    }
    return operation


def _one_statement() -> Json:
    operation = _statements()
    operation |= {"operationId": "statement", "summary": "Send one xAPI statement under its id"}
    operation["parameters"].append(_parameter("statementId", {"type": "string"}) | {"required": True})
    operation["responses"]["204"] = {"description": "Acknowledged"}
    del operation["responses"]["200"]
    return operation


def _asked_by_operators(name: str, summary: str, answer: Json) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operations"],
        "responses": {"200": {"description": summary, **_content(answer)}},
    }


def _readyz(answer: Json) -> Json:
    summary = "Readiness; stays true when degraded and says which parts are missing"
    operation = _asked_by_operators("readyz", summary, answer)
    operation["responses"][str(NOT_READY)] = {"description": "Start-up is not complete", **_content(answer)}
    return operation


def _metrics() -> Json:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Prometheus metrics",
        "tags": ["operations"],
        "responses": {"200": {"description": "Text format", "content": content}},
    }


def _operation(
    name: str, summary: str, success: int, answer: Json, problems: tuple[int, ...], parameters: list[Json]
) -> Json:
    problem = _content({"$ref": _REFERENCE.format(name="ProblemBody")})
    responses: Json = {str(success): {"description": summary, **_content(answer)}}
    responses |= {str(status): {"description": _STATUSES[status], **problem} for status in problems}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["v1"],
        "parameters": parameters,
        "responses": responses,
    }


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _content(schema: Json) -> Json:
    return {"content": {"application/json": {"schema": schema}}}


def _timestamp() -> Json:
    return {
        "description": "Milliseconds since 1970 UTC, or RFC 3339 with a zone.",
        "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
    }
