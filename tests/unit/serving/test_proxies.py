"""Behind a proxy: a root path, forwarded headers from those who are trusted, HEAD, and bodies that came compressed."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EVENT = {"event_id": "e1", "user_id": "ada", "course_id": "c1", "type": "click", "timestamp": 1_790_000_000_000}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/trending", "/v1/users/ada/recommendations"])
async def test_head_is_answered_where_get_is(world: Any, path: str) -> None:
    await world.publish()
    await world.poll()
    async with world.client() as client:
        got, head = await client.get(path), await client.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_head_says_not_ready_too(world: Any) -> None:
    async with world.client() as client:
        assert (await client.head("/readyz")).status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("DELETE", "/readyz", {"GET", "HEAD"}),
        ("PUT", "/metrics", {"GET", "HEAD"}),
        ("PATCH", "/v1/users/ada/recommendations", {"GET", "HEAD"}),
        ("HEAD", "/v1/events", {"POST"}),
        ("OPTIONS", "/v1/events", {"POST"}),
    ],
)
async def test_another_method_is_refused_with_the_allowed_ones(
    world: Any, method: str, path: str, allowed: set[str]
) -> None:
    async with world.client() as client:
        response = await client.request(method, path)
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "nonsense"])
async def test_a_compressed_body_is_refused_and_told_to_come_as_it_is(world: Any, coding: str) -> None:
    """Before, its bytes were taken for JSON: 422 not_json, which points at the wrong thing."""
    async with world.client() as client:
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        response = await client.post("/v1/events", content=gzip.compress(json.dumps(EVENT).encode()), headers=headers)
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "identity"
    assert response.json() == {
        "error": "unsupported_encoding",
        "detail": f"expected a body without Content-Encoding, received {coding!r}; send the JSON uncompressed",
    }
    assert world.producer.sent == []


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
async def test_a_body_that_says_it_is_as_it_is_is_taken(world: Any, coding: str) -> None:
    async with world.client() as client:
        response = await client.post("/v1/events", json=EVENT, headers={"Content-Encoding": coding})
    assert response.status_code == 202


async def test_a_plus_is_a_blank_in_a_parameter_and_a_plus_in_the_path(world: Any) -> None:
    """As docs/serving.md says: C++ is C%2B%2B."""
    async with world.client() as client:
        blank = await client.get("/v1/users/a+b/recommendations?n=+5")
        assert blank.json()["detail"] == "expected n from 1 to 50, received ' 5'"
        await world.publish()
        await world.poll()
        assert (await client.get("/v1/users/a+b/recommendations")).json()["user_id"] == "a+b"
        assert (await client.get("/v1/users/a%2Bb/recommendations")).json()["user_id"] == "a+b"
        assert (await client.get("/v1/users/a%20b/recommendations")).json()["user_id"] == "a b"


@pytest.mark.parametrize("path", ["/recsys/v1/users/a/b/recommendations", "/v1/users/a/b/recommendations"])
async def test_a_root_path_is_served_whether_the_proxy_strips_it_or_not(world: Any, path: str) -> None:
    world.settings = world.settings.model_copy(update={"serving_root_path": "/recsys"})
    world.restarted()
    await world.publish()
    await world.poll()
    async with world.client() as client:
        assert (await client.get(path)).json()["user_id"] == "a/b"
        assert (await client.get("/recsys/healthz")).status_code == 200
        document = (await client.get("/recsys/openapi.json")).json()
    assert document["servers"] == [{"url": "/recsys"}]


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[int]:
    """`recsys serve` without Kafka and Redis; the port."""
    nowhere = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "recsys.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        command,
        env={**os.environ, **nowhere, **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(re.findall(r":(\d+)$", process.stdout.readline().strip())[0])
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("trusted", "location"), [("127.0.0.0/8", "https://api.example/docs"), ("", "http://api.example/docs")]
)
def test_only_a_trusted_proxy_says_how_the_client_came_and_head_has_no_body(
    tmp_path: Path, trusted: str, location: str
) -> None:
    """A redirect is where the first shows: `/docs/` leads to `/docs` under the scheme the client used."""
    with served(tmp_path, RECSYS_SERVING_TRUSTED_PROXIES=trusted) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/docs/", headers={"Host": "api.example", "X-Forwarded-Proto": "https"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Location")) == (307, location)
        answer.read()
        for _ in range(2):  # on one connection: a body would be taken for the next answer
            connection.request("HEAD", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read(), answer.getheader("Content-Length")) == (200, b"", "15")
        connection.close()
