"""`recsys serve` and `recsys recommend` as processes: exit codes, one clear line, the same answer as HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles.commands import Run

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def deserted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which neither Redis nor Kafka answers."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    monkeypatch.setenv("REDIS_URL", f"redis://{NOBODY}/0")
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RECSYS_SERVING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("RECSYS_SERVING_PORT", "0")


@pytest.fixture
def api() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "recsys.cli", "serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    urls: list[str] = []
    for line in process.stdout:
        if line.startswith("recsys API on http://"):
            urls.append(line.split()[-1])
            break
    yield process, urls[0]
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_serves_on_loopback_without_any_service_and_ends_well(
    api: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = api
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{url}/readyz").json() == {
        "ready": True,
        "degraded": ["redis", "kafka", "model", "trending"],
        "model_version": None,
    }
    assert httpx.get(f"{url}/v1/users/ada/recommendations").status_code == 503
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_port_that_is_taken_is_one_line_and_exit_status_2(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr == f"recsys: cannot bind 127.0.0.1:{port}: Address already in use\n"


def test_an_address_that_is_not_ours_is_one_line(run: Run) -> None:
    ended = run("serve", "--host", "192.0.2.1")
    assert ended.returncode == 2
    assert ended.stderr.startswith("recsys: cannot bind 192.0.2.1:0: ")
    assert ended.stderr.count("\n") == 1


def test_a_recommendation_without_any_source_is_one_line_and_exit_status_3(run: Run) -> None:
    ended = run("recommend", "--user", "ada", "--json")
    assert ended.returncode == 3
    assert ended.stderr.startswith("recsys: there is no cached list, no model and no trending to answer from; ")
    assert "no answer from Redis: ConnectionError" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("n", ["0", "51", "abc"])
def test_an_n_that_cannot_be_is_exit_status_2(run: Run, n: str) -> None:
    ended = run("recommend", "--user", "ada", "--n", n)
    assert ended.returncode == 2
    assert "--n" in ended.stderr


def test_a_user_id_that_cannot_be_is_one_line(run: Run) -> None:
    ended = run("recommend", "--user", "x" * 256)
    assert (ended.returncode, ended.stderr) == (
        2,
        "recsys: expected user_id of 1 to 255 characters, received 256\n",
    )


def test_the_command_gives_the_same_answer_as_http(run: Run, world: Any) -> None:
    """Both from the newest bundle on disk, because no Redis answers."""

    async def over_http() -> dict[str, Any]:
        await world.publish()
        world.outage.down = True
        await world.poll()
        answer: dict[str, Any] = await world.recommend("ada", n=7, category="Art")
        return answer

    answer = asyncio.run(over_http())
    ended = run("recommend", "--user", "ada", "--n", "7", "--category", "Art", "--json")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    moving = ("computed_at", "variants", "age_seconds")
    assert set(printed) == set(answer)
    assert {k: v for k, v in printed.items() if k not in moving} == {k: v for k, v in answer.items() if k not in moving}
    table = run("recommend", "--user", "ada", "--n", "7", "--category", "Art").stdout
    assert all(row["title"] in table for row in answer["recommendations"])
