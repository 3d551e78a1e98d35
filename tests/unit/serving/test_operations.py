"""Liveness touches nothing, readiness stays true when degraded, and the documents describe what is there."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx

from serving.http.app import create_app


async def test_liveness_touches_nothing(world: Any) -> None:
    world.outage.down = True
    response = await world.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert world.outage.in_vain == 0


async def test_readiness_is_false_only_before_start_up_is_complete(world: Any) -> None:
    response = await world.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert response.headers["retry-after"] == "1"
    await world.poll()
    assert (await world.get("/readyz")).json() == {
        "ready": True,
        "degraded": ["model", "trending"],
        "model_version": None,
    }


async def test_readiness_stays_true_when_everything_is_missing_and_says_so(world: Any) -> None:
    world.outage.down, world.producer.connected = True, False
    await world.poll()
    response = await world.get("/readyz")
    assert response.status_code == 200
    assert response.json()["degraded"] == ["redis", "kafka", "model", "trending"]


async def test_a_whole_api_is_not_degraded(world: Any) -> None:
    path = await world.publish()
    await world.trend("c1")
    await world.poll()
    assert (await world.get("/readyz")).json() == {"ready": True, "degraded": [], "model_version": path.name}


async def test_metrics_name_what_happened_and_no_learner(world: Any) -> None:
    await world.publish()
    await world.poll()
    await world.recommend("ada-the-learner")
    response = await world.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'recsys_requests_total{route="recommendations",status="200"} 1.0' in response.text
    assert 'recsys_recommendations_total{source="model"} 1.0' in response.text
    assert 'recsys_dependency_up{part="redis"} 1.0' in response.text
    assert "ada-the-learner" not in response.text
    for name in re.findall(r"^# TYPE (\S+)", response.text, re.MULTILINE):
        assert name.startswith("recsys_")


async def test_one_openapi_document_describes_every_route(world: Any) -> None:
    document = (await world.get("/openapi.json")).json()
    assert {(path, method) for path, item in document["paths"].items() for method in item} == {
        ("/v1/users/{user_id}/recommendations", "get"),
        ("/v1/events", "post"),
        ("/xapi/statements", "post"),
        ("/xapi/statements", "put"),
        ("/v1/trending", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }
    wanted = set(re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')))
    assert wanted <= set(document["components"]["schemas"])
    assert {"Recommendations", "Recommendation", "ProblemBody", "Interaction", "Accepted"} <= wanted


async def test_an_answer_has_the_fields_the_document_requires(world: Any) -> None:
    await world.publish()
    await world.poll()
    schemas = (await world.get("/openapi.json")).json()["components"]["schemas"]
    answer = await world.recommend("ada")
    assert set(schemas["Recommendations"]["properties"]) == set(answer)
    assert set(schemas["Recommendation"]["properties"]) == set(answer["recommendations"][0])


async def test_the_documentation_page_is_there(world: Any) -> None:
    assert (await world.get("/docs")).status_code == 200


async def test_it_starts_degraded_and_recovers_by_itself(world: Any) -> None:
    await world.publish()
    world.outage.down, world.producer.connected = True, False
    settings = world.settings.model_copy(update={"model_poll_seconds": 0.01})
    world.settings = settings
    app = create_app(world.restarted())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client,
    ):
        assert (await client.get("/readyz")).json()["degraded"] == ["redis", "kafka", "trending"]
        assert (await client.get("/v1/users/ada/recommendations")).json()["source"] == "model"
        world.outage.down, world.producer.connected = False, True
        await world.trend("c1")
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).json()["degraded"]:  # noqa: ASYNC110 (HTTP has no event to wait for)
                await asyncio.sleep(0.01)
    assert (settings.serving_state_dir / "trending.json").exists()


async def test_a_poll_that_fails_in_an_unforeseen_way_is_not_the_last(world: Any) -> None:
    polls = 0

    async def broken(*_: Any) -> None:
        nonlocal polls
        polls += 1
        raise ZeroDivisionError

    world.service.follower.poll = broken
    task = asyncio.create_task(world.service.follower.run(0.001))
    async with asyncio.timeout(10):
        while polls < 3:  # noqa: ASYNC110 (a count, not a state)
            await asyncio.sleep(0.001)
    task.cancel()
    assert world.service.readiness().ready
