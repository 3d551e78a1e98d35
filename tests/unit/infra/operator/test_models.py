"""`recsys models` on a real Redis: what is published, what there is, and the way back."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.operator.models import models
from recsys.cli import main
from recsys.errors import BundleError, ConfigurationError
from recsys.model.bundle import write_bundle
from recsys.model.publications import read_publications
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from tests.faults.serving import draw_draft

NOW_MS = 1_790_000_000_000


class System:
    """A models folder with three bundles, two of them published to a Redis."""

    def __init__(self, models_dir: Path, redis_url: str) -> None:
        self.models_dir, self.redis_url = models_dir, redis_url
        self.first, self.second, self.never = (
            write_bundle(models_dir, draw_draft(seed, created_at_ms=NOW_MS + seed * 1000)) for seed in range(3)
        )
        for path in (self.first, self.second):
            self.on_redis(partial(self._publish, path=path))

    @staticmethod
    async def _publish(store: RedisStore, path: Path) -> None:
        await publish_bundle(store, path, replacing=await store.model(), at_ms=NOW_MS, keep=10)

    def on_redis(self, work: Callable[[RedisStore], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            store = RedisStore.for_stream(self.redis_url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def published(self) -> str | None:
        pointer = self.on_redis(lambda store: store.model())
        return None if pointer is None else str(pointer.version)

    def ask(self, *arguments: str) -> Any:
        result = CliRunner().invoke(models, [*arguments, "--json"], obj=0.05, catch_exceptions=False)
        return json.loads(result.stdout)

    def row(self, path: Path) -> dict[str, Any]:
        (row,) = (row for row in self.ask("list")["models"] if row["version"] == path.name)
        return dict(row)


@pytest.fixture
def system(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RECSYS_MODEL_POLL_SECONDS", "0.01")
    return System(tmp_path / "models", redis_url)


def test_the_list_shows_what_is_published_and_what_never_was(system: System) -> None:
    listed = system.ask("list")
    assert (listed["current"], listed["previous"], listed["problem"]) == (system.second.name, system.first.name, "")
    assert [row["version"] for row in listed["models"]] == [
        path.name for path in (system.never, system.second, system.first)
    ]
    assert [row["state"] for row in listed["models"]] == ["", "current", "previous"]
    assert [row["published"] for row in listed["models"]] == [False, True, True]
    assert [row["kept_because"] for row in listed["models"]] == ["", "current", "previous"]


def test_without_redis_the_list_shows_what_is_noted_and_says_so(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    listed = system.ask("list")
    assert (listed["current"], listed["previous"]) == (system.second.name, system.first.name)
    assert "no answer from Redis" in listed["problem"]


def test_a_published_bundle_that_is_gone_and_one_that_is_damaged_are_named(system: System) -> None:
    shutil.rmtree(system.second)
    (system.first / "manifest.json").write_text("{}")
    assert "manifest.json" in system.row(system.second)["problem"]
    assert "expected a model manifest" in system.row(system.first)["problem"]


def test_show_verifies_every_file(system: System) -> None:
    shown = system.ask("show", system.first.name)
    assert (shown["state"], shown["verified"], shown["manifest"]["version"]) == ("previous", "yes", system.first.name)
    (system.first / "courses.json").write_text("[]")
    assert system.ask("show", system.first.name)["verified"].startswith("no: expected SHA-256")


def test_a_rollback_publishes_the_bundle_before_and_a_second_one_goes_forward_again(system: System) -> None:
    answer = system.ask("rollback")
    assert (answer["published"], answer["withdrawn"]) == (system.first.name, system.second.name)
    assert system.published() == system.first.name == system.ask("list")["current"]
    noted = read_publications(system.models_dir).current
    assert noted is not None
    assert noted.version == system.first.name
    assert system.ask("rollback")["published"] == system.second.name


def test_a_rollback_to_a_version_takes_a_published_one(system: System) -> None:
    with pytest.raises(ConfigurationError, match="was never published, so no gate let it pass"):
        system.ask("rollback", system.never.name)
    with pytest.raises(ConfigurationError, match="is the published model already"):
        system.ask("rollback", system.second.name)
    with pytest.raises(ConfigurationError, match="holds no bundle nonsense"):
        system.ask("rollback", "nonsense")
    assert system.published() == system.second.name
    assert system.ask("rollback", system.never.name, "--never-published")["published"] == system.never.name


def test_a_rollback_to_a_damaged_bundle_changes_nothing(system: System) -> None:
    (system.first / "courses.json").write_text("[]")
    with pytest.raises(BundleError, match="SHA-256"):
        system.ask("rollback")
    assert system.published() == system.second.name


@pytest.mark.parametrize("value", [b"junk", b'{"version":"v","path":"p","published_at_ms":1,"format":9}'])
def test_a_pointer_that_cannot_be_read_is_named_and_a_rollback_writes_it_anew(system: System, value: bytes) -> None:
    system.on_redis(lambda store: store._client.set("recsys:model:current", value))
    listed = system.ask("list")
    assert "'recsys:model:current'" in listed["problem"]
    assert listed["current"] == system.second.name
    assert system.ask("rollback", system.second.name)["published"] == system.second.name
    assert system.published() == system.second.name


@pytest.mark.parametrize("version", [True, False])
def test_a_corrupt_note_of_the_model_before_is_named_and_holds_up_no_rollback(system: System, version: bool) -> None:
    system.on_redis(lambda store: store._client.set("recsys:model:previous", b"junk"))
    listed = system.ask("list")
    assert "'recsys:model:previous'" in listed["problem"]
    assert (listed["current"], listed["previous"]) == (system.second.name, system.first.name)
    asked = system.ask("rollback", *([system.first.name] if version else []))
    assert (asked["published"], asked["withdrawn"]) == (system.first.name, system.second.name)
    assert system.ask("list")["problem"] == ""


def test_without_a_model_before_a_rollback_asks_for_a_version(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ended:
        main(["models", "rollback"])
    assert ended.value.code == 2
    assert "no model was published before this one" in capsys.readouterr().err


def test_a_folder_without_bundles_is_one_line(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("RECSYS_MODELS_DIR", str(tmp_path / "models"))
    assert CliRunner().invoke(models, ["list"], catch_exceptions=False).stdout == "no model published\n"


@pytest.mark.parametrize("columns", [None, "80"])
def test_every_version_is_whole_in_the_table(system: System, columns: str | None) -> None:
    result = CliRunner().invoke(models, ["list"], catch_exceptions=False, env={"COLUMNS": columns})
    assert [path.name for path in (system.first, system.second, system.never) if path.name not in result.stdout] == []


def test_people_get_a_table(system: System) -> None:
    result = CliRunner().invoke(models, ["list"], catch_exceptions=False, env={"COLUMNS": "200"})
    assert f"published: {system.second.name}" in result.stdout
    shown = CliRunner().invoke(models, ["show", system.first.name], catch_exceptions=False)
    assert "state: previous" in shown.stdout
    assert "verified: yes" in shown.stdout


def test_show_says_how_far_an_increment_agreed_with_what_it_replaced(system: System) -> None:
    draft = draw_draft(7, created_at_ms=NOW_MS + 9000)
    gate = {"ndcg@10": 0.1, "agreement@10": 0.94}
    metrics = {"model": "increment", "headline": "An increment.", "gate": gate}
    increment = write_bundle(system.models_dir, replace(draft, parent=system.first.name, metrics=metrics))
    assert system.ask("show", increment.name)["agreement"] == 0.94
    shown = CliRunner().invoke(models, ["show", increment.name], catch_exceptions=False).stdout
    assert "verdict: An increment.\nagreement: 0.94\n" in shown
    assert system.ask("show", system.first.name)["agreement"] is None
