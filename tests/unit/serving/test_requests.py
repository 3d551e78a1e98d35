"""What the API does with requests that cannot be: one JSON line that says what was expected, never a stack trace."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

ODD_IDS = ["a/b", "a/recommendations", "ü ñ 漢", "{s3}:eng:x", "a%2Fb", "*", "..;x", "a&b=c", "q?x#y", "@" * 255]


async def ask(world: Any, path: str) -> Any:
    async with world.client() as client:
        return await client.get(path)


@pytest.mark.parametrize("n", ["0", "51", "-1", "abc", "", "1.0", "1e1", "+5", " 5", "٥", "9" * 400, "nan"])
async def test_n_is_a_whole_number_from_1_to_50(world: Any, n: str) -> None:
    for path in ("/v1/users/ada/recommendations", "/v1/trending"):
        response = await world.get(path, n=n)
        assert response.status_code == 422
        assert response.json() == {
            "error": "invalid_parameter",
            "detail": f"expected n from 1 to 50, received {n[:20]!r}",
        }


@pytest.mark.parametrize("n", ["1", "50"])
async def test_the_bounds_of_n_are_allowed(world: Any, n: str) -> None:
    await world.publish()
    await world.poll()
    assert len((await world.recommend("ada", n=n))["recommendations"]) == min(int(n), 39)


async def test_n_defaults_to_the_setting(world: Any) -> None:
    await world.publish()
    await world.poll()
    assert len((await world.recommend("ada"))["recommendations"]) == world.settings.serving_default_n


@pytest.mark.parametrize("user_id", ODD_IDS)
async def test_an_id_of_printable_characters_is_an_id(world: Any, user_id: str) -> None:
    await world.publish()
    await world.cache(user_id, ["c9", "c8"])
    await world.poll()
    response = await ask(world, f"/v1/users/{quote(user_id, safe='')}/recommendations?n=2")
    assert response.status_code == 200
    assert response.json()["user_id"] == user_id
    assert [row["course_id"] for row in response.json()["recommendations"]] == ["c9", "c8"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("a" * 256, "expected user_id of 1 to 255 characters, received 256"),
        ("", "expected user_id of 1 to 255 characters, received 0"),
        ("a%00b", "expected user_id of printable characters, received others"),
        ("%20", "expected user_id that shows something, received blanks only"),
        ("a%09b", "expected user_id of printable characters, received others"),
        ("a%E2%80%A8b", "expected user_id of printable characters, received others"),
        ("a%FFb", "expected a user_id in percent-encoded UTF-8, received other bytes"),
    ],
)
async def test_an_id_that_no_event_could_have_is_refused(world: Any, path: str, detail: str) -> None:
    response = await ask(world, f"/v1/users/{path}/recommendations")
    assert response.status_code == 422
    assert response.json() == {"error": "invalid_parameter", "detail": detail}


async def test_a_replacement_character_that_was_sent_as_such_is_an_id(world: Any) -> None:
    await world.publish()
    await world.poll()
    assert (await ask(world, "/v1/users/a%EF%BF%BDb/recommendations")).json()["user_id"] == "a\ufffdb"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("n=1&n=2", "expected one n, received 2"),
        ("category=a&category=b", "expected one category, received 2"),
        ("category=", "expected category of 1 to 255 printable characters, received ''"),
        ("level=" + "x" * 256, f"expected level of 1 to 255 printable characters, received {'x' * 20!r}"),
        ("exclude=", "expected exclude of 1 to 255 characters, received 0"),
        ("&".join(["exclude=a"] * 201), "expected at most 200 times exclude, received 201"),
    ],
)
async def test_parameters_that_cannot_be_are_named(world: Any, query: str, detail: str) -> None:
    response = await ask(world, f"/v1/users/ada/recommendations?{query}")
    assert response.status_code == 422
    assert response.json() == {"error": "invalid_parameter", "detail": detail}


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/users/ada", 404, "not_found"),
        ("POST", "/v1/users/ada/recommendations", 405, "method_not_allowed"),
        ("GET", "/v1/events", 405, "method_not_allowed"),
        ("DELETE", "/v1/trending", 405, "method_not_allowed"),
    ],
)
async def test_unknown_paths_and_methods_have_the_same_form(
    world: Any, method: str, path: str, status: int, error: str
) -> None:
    async with world.client() as client:
        response = await client.request(method, path)
    assert response.status_code == status
    assert response.json() == {
        "error": error,
        "detail": f"expected a documented path and method, received {method} {path}",
    }


async def test_a_failure_nobody_foresaw_shows_nothing_of_its_inside(world: Any) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    world.service.follower._learners.find = broken
    response = await world.get("/v1/users/ada/recommendations")
    assert response.status_code == 500
    assert response.json() == {"error": "internal", "detail": "the request failed; the cause is in the log"}


async def test_variants_are_in_the_answer_and_in_a_header(world: Any) -> None:
    await world.publish()
    await world.poll()
    response = await world.get("/v1/users/ada/recommendations")
    variant = response.json()["variants"]["colour"]
    assert variant in {"a", "b"}
    assert response.headers["x-recsys-variants"] == f"colour={variant}"
