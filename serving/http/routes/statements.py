"""`POST` and `PUT /xapi/statements`: statements of platforms, mapped, sent, answered after every acknowledgement.

As an LRS's Statement Resource answers (xAPI 1.0.3, 2.0), for those who send: statements cannot be asked for here.
A statement sent again is answered like the first time, because repetition changes nothing. PUT is what clients use for
one statement that has an id (tincan, and so Open edX's event-routing-backends).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from recsys.adapters.xapi_fields import XapiRules
from recsys.adapters.xapi_voided import StatementIndex
from recsys.errors import ServiceUnavailable
from serving.errors import StatementsRefused
from serving.events.producer import EventProducer
from serving.events.statements import Statements, identified, read_statements
from serving.http.basic import Authorize
from serving.http.bodies import json_body
from serving.http.endpoints import Endpoint, json_response
from serving.http.problems import Problem, ProblemBody, unavailable
from serving.metrics import Metrics

NO_CONTENT = 204
VERSION_HEADER = "X-Experience-API-Version"
_VERSION = re.compile(r"(1\.0|2\.0)(\.\d+)?")


def statements(
    producer: EventProducer,
    metrics: Metrics,
    clock: Callable[[], int],
    *,
    index: StatementIndex,
    rules: XapiRules,
    authorize: Authorize,
) -> Endpoint:
    """The endpoint.

    Args:
        producer: Where the events go.
        metrics: Where statements are counted.
        clock: Arrival time, ms since 1970 UTC.
        index: The statements that passed, for those that void one.
        rules: How statements are read.
        authorize: Who may send them.
    """

    async def endpoint(request: Request) -> Response:
        authorize(request)
        version = _version(request)
        body = await json_body(request)
        arrival_ms = clock()
        try:
            if request.method == "PUT":
                body = identified(body, request.query_params.get("statementId", ""))
            found = read_statements(body, arrival_ms=arrival_ms, index=index, rules=rules)
        except StatementsRefused as error:
            for reason, count in Counter(one.reason for one in error.refused).items():
                metrics.events_refused.labels(reason).inc(count)
            raise
        await _send(found, producer, metrics, arrival_ms)
        if request.method == "PUT":
            return Response(status_code=NO_CONTENT, headers={VERSION_HEADER: version})
        return json_response(found.ids, headers={VERSION_HEADER: version})

    return endpoint


async def _send(found: Statements, producer: EventProducer, metrics: Metrics, arrival_ms: int) -> None:
    if found.events:
        try:
            with metrics.produce_seconds.time():
                await producer.send(found.events, arrival_ms=arrival_ms)
        except ServiceUnavailable as error:
            metrics.produce_failures.inc()
            raise unavailable(f"{error}; sending the same statements again is safe") from None
    found.index.pass_on()
    metrics.events_accepted.inc(len(found.events))
    for verb, count in found.skipped.items():
        metrics.statements_skipped.labels(verb).inc(count)


def _version(request: Request) -> str:
    """The version to answer in.

    Raises:
        Problem: The client names none, or one that is not spoken here.
    """
    given = request.headers.get(VERSION_HEADER, "")
    if not _VERSION.fullmatch(given):
        detail = f"expected the header {VERSION_HEADER} with 1.0.x or 2.0.x, received {given[:20]!r}"
        raise Problem(400, ProblemBody("unsupported_version", detail), {VERSION_HEADER: "1.0.3"})
    return "2.0.0" if given.startswith("2") else "1.0.3"
