"""The ASGI application is one FastAPI app, and one OpenAPI document, whose routes are plain Starlette for speed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.routing import Route

from recsys.adapters.inputs import read_staff
from recsys.adapters.staff import Staff
from recsys.adapters.xapi_fields import XapiRules
from recsys.adapters.xapi_voided import ProcessIndex
from recsys.process.garbage import exempt_what_is_there
from recsys.settings import Settings
from serving.http.basic import basic
from serving.http.endpoints import Endpoint, http_exception, measured
from serving.http.openapi import add_plain_routes
from serving.http.root_path import RootPath
from serving.http.routes.events import events
from serving.http.routes.operations import healthz, readyz, scrape
from serving.http.routes.recommendations import recommendations, trending
from serving.http.routes.statements import statements
from serving.service import Service

TITLE = "Course recommendations"
DISTRIBUTION = "course-stream-recommender"


def create_app(service: Service, *, freeze_heap: bool = False) -> FastAPI:
    """The application.

    Args:
        service: The parts; started and closed with the application.
        freeze_heap: Exempt everything made by start-up from garbage collection. For a process that only serves: it
            takes the long collections out of the tail latency.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = await service.start()
        if freeze_heap:
            exempt_what_is_there()
        try:
            yield
        finally:
            await service.close(tasks)

    root_path = service.settings.serving_root_path
    app = FastAPI(title=TITLE, version=version(DISTRIBUTION), lifespan=lifespan)
    if root_path:
        app.add_middleware(RootPath, root_path=root_path)
    app.router.routes[:0] = _plain_routes(service)  # first, so that the hot route is matched first
    app.add_exception_handler(HTTPException, http_exception)
    app.openapi = _openapi(app, service.settings)  # type: ignore[method-assign]  # FastAPI's way
    return app


def _plain_routes(service: Service) -> list[Route]:
    default_n, metrics, ladder = service.settings.serving_default_n, service.metrics, service.ladder

    def route(path: str, name: str, endpoint: Endpoint, *methods: str) -> Route:
        return Route(path, measured(name, endpoint, metrics), methods=methods or ["GET"], name=name)

    # A user id may hold slashes, which reach us decoded: hence the path convertor.
    hot = "/v1/users/{user_id:path}/recommendations"
    return [
        route(hot, "recommendations", recommendations(ladder, default_n)),
        route("/v1/events", "events", events(service.producer, metrics, service.clock), "POST"),
        route("/xapi/statements", "statements", _statements(service), "POST", "PUT"),
        route("/v1/trending", "trending", trending(ladder, default_n)),
        route("/metrics", "metrics", scrape(metrics, service.readiness)),
        # Not measured: an orchestrator's question every few seconds would drown the requests.
        Route("/healthz", healthz, name="healthz"),
        Route("/readyz", readyz(service.readiness), name="readyz"),
    ]


def _statements(service: Service) -> Endpoint:
    settings, staff_file = service.settings, service.settings.xapi_staff_file
    return statements(
        service.producer,
        service.metrics,
        service.clock,
        index=ProcessIndex(),
        rules=XapiRules(settings.xapi_home_pages, Staff() if staff_file is None else read_staff(staff_file)),
        authorize=basic(settings.xapi_credentials),
    )


def _openapi(app: FastAPI, settings: Settings) -> Callable[[], dict[str, Any]]:
    """`FastAPI.openapi` with the plain routes added; made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            servers = [{"url": settings.serving_root_path}] if settings.serving_root_path else None
            made = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=servers)
            app.openapi_schema = add_plain_routes(made, default_n=settings.serving_default_n)
        return app.openapi_schema

    return openapi
