"""From history to a published model, on files and the in-memory store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from batch import pipeline
from batch.commands import evaluate as evaluate_command
from batch.commands import retrain as retrain_command
from batch.evaluation.gate import Verdict, compare
from batch.history import History
from batch.pipeline import Retrained, prepare, retrain
from batch.publish import Published, fill_caches, published_model
from recsys.catalog import Course
from recsys.engagement import ForwardDecay
from recsys.errors import CandidateRejected, ConfigurationError, InputError, ServiceUnavailable
from recsys.files import course_frame, write_courses, write_interactions
from recsys.keys import Topology, partition_of
from recsys.model.hyperparameters import HyperParameters
from recsys.model.publishing import publish_bundle
from recsys.model.scorer import Scorer
from recsys.online_store import ModelPointer
from recsys.online_store.memory import MemoryStore
from recsys.settings import Settings
from tests.doubles.effects import effects

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NOW = 1_710_000_000_000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("retrain")
    return Settings(models_dir=root / "models", reports_dir=root / "reports")


@pytest.fixture(scope="module")
def history(events: pd.DataFrame, courses: list[Course]) -> History:
    return History(events, tuple(courses), "interactions.csv")


@pytest.fixture(scope="module")
def retrained(history: History, settings: Settings, small: HyperParameters) -> Retrained:
    return retrain(history, settings, small, None, at_ms=NOW)


async def _with_engagement(users: Sequence[str]) -> MemoryStore:
    store = MemoryStore()
    await store.establish_topology(Topology(3))
    decay = ForwardDecay(30.0)
    for user in users:
        changes = effects(engagement={user: {"kafka-1": decay.stored(5.0, NOW)}}, done={user: ["kafka-2"]})
        partition = partition_of(user, 3)
        fence = await store.fence(partition, "g")
        assert await store.commit(partition, "g", fence, (fence if fence is not None else -1) + 1, changes)
    return store


def test_a_retrain_leaves_a_verified_bundle_and_a_report(retrained: Retrained) -> None:
    scorer = Scorer.load(retrained.bundle)
    manifest = json.loads((retrained.bundle / "manifest.json").read_text())
    assert scorer.version == retrained.bundle.name
    assert manifest["data"]["source"] == "interactions.csv"
    assert manifest["metrics"]["hybrid"]["ndcg@10"] == retrained.experiment.hybrid.mean("ndcg@10")
    assert manifest["settings"]["epochs"] <= 4
    report = json.loads((retrained.report / "report.json").read_text())
    assert report["gate"]["passed"] is True
    assert {p.name for p in retrained.report.iterdir()} == {
        "report.json", "report.md", "metrics.png", "training.png", "popularity.png", "cutoffs.png",
    }  # fmt: skip


def test_the_published_model_has_seen_all_of_the_history(retrained: Retrained, events: pd.DataFrame) -> None:
    data = json.loads((retrained.bundle / "manifest.json").read_text())["data"]
    assert data["events"] == len(events)
    assert data["last_ms"] == int(events["timestamp"].max())


def test_the_evaluated_model_has_not_seen_the_test_side(retrained: Retrained) -> None:
    _, _, cutoff, _ = retrained.experiment.times
    assert retrained.experiment.model.data.last_ms < cutoff


def test_publishing_moves_the_pointer_and_fills_the_waiting_learners_lists(retrained: Retrained) -> None:
    async def scenario() -> None:
        store = await _with_engagement(["l1", "l2", "stranger"])
        models_dir = retrained.bundle.parent
        assert await published_model(store, models_dir) == Published(None, None)
        scorer, pointer = await publish_bundle(store, retrained.bundle, replacing=None, at_ms=NOW, keep=10)
        assert await fill_caches(store, scorer, at_ms=NOW, top_n=7) == 3
        for user in ("l1", "l2", "stranger"):
            top, done = await store.top(partition_of(user, 3), user)
            assert top is not None
            assert top.model_version == scorer.version
            assert len(top.course_ids) == 7
            assert "kafka-2" not in top.course_ids
            assert done == {"kafka-2"}
        published = await published_model(store, models_dir)
        assert published.pointer == pointer
        assert published.scorer is not None
        assert published.scorer.version == scorer.version
        for partition in range(3):
            assert not await store.dirty_users(partition, 10)

    asyncio.run(scenario())


def test_a_large_platform_is_not_filled_by_the_publisher_alone(retrained: Retrained) -> None:
    async def scenario() -> None:
        users = [f"l{n}" for n in range(40)]
        store = await _with_engagement(users)
        scorer, _ = await publish_bundle(store, retrained.bundle, replacing=None, at_ms=NOW, keep=10)
        assert await fill_caches(store, scorer, at_ms=NOW, top_n=7, limit=12) <= 12
        waiting = sum([len(await store.dirty_users(partition, 99)) for partition in range(3)])
        assert waiting >= 28

    asyncio.run(scenario())


def test_the_published_model_is_found_in_our_own_folder_too(retrained: Retrained) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        elsewhere = ModelPointer(retrained.bundle.name, f"/publisher/{retrained.bundle.name}", NOW)
        await store.publish_model(elsewhere, replacing=None)
        published = await published_model(store, retrained.bundle.parent)
        assert published.scorer is not None
        assert (await published_model(store, retrained.bundle)).scorer is None

    asyncio.run(scenario())


def test_a_candidate_worse_than_the_current_model_is_rejected(retrained: Retrained) -> None:
    """Against a current model that finds what the candidate misses, the lower bound lies below the tolerance."""
    experiment = retrained.experiment
    worse = replace(
        experiment,
        hybrid=replace(experiment.hybrid, per_user={n: v * 0.0 for n, v in experiment.hybrid.per_user.items()}),
        baselines={n: replace(b, per_user={m: v * 0.0 for m, v in b.per_user.items()})
                   for n, b in experiment.baselines.items()},
    )  # fmt: skip
    verdict = compare(worse, Scorer.load(retrained.bundle))
    assert not verdict.passed
    assert "not worse than" in verdict.reason
    assert compare(experiment, None).passed


def test_a_candidate_below_plain_popularity_is_rejected(retrained: Retrained) -> None:
    experiment = retrained.experiment
    blind = {name: values * 0.0 for name, values in experiment.hybrid.per_user.items()}
    verdict = compare(replace(experiment, hybrid=replace(experiment.hybrid, per_user=blind)), None)
    assert not verdict.passed
    assert "plain popularity" in verdict.reason


def test_a_rejected_candidate_leaves_its_report_and_no_bundle(
    history: History,
    retrained: Retrained,
    settings: Settings,
    small: HyperParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusal = Verdict(passed=False, current=retrained.bundle.name, difference=None, reason="worse")
    monkeypatch.setattr(pipeline, "compare", lambda _experiment, _current: refusal)
    before = set(settings.models_dir.iterdir())
    with pytest.raises(CandidateRejected, match="worse; report in"):
        retrain(history, settings, replace(small, epochs=1), None, at_ms=NOW + 1)
    assert set(settings.models_dir.iterdir()) == before
    report = json.loads((settings.reports_dir / f"retrain-{NOW + 1}" / "report.json").read_text())
    assert report["gate"]["passed"] is False


def test_refused_and_repeated_events_are_counted_and_left_out(history: History) -> None:
    bad = history.events.head(3).assign(type=["view", "teleport", "rate"], event_id=["n1", "n2", "n3"])
    dirty = replace(history, events=pd.concat([history.events, history.events.head(2), bad], ignore_index=True))
    prepared = prepare(dirty, at_ms=NOW)
    assert len(prepared.events) == len(history.events) + 1
    assert prepared.facts["events"]["dropped"] == {"unknown_type": 1, "bad_value": 1, "duplicate": 2}


def test_events_booked_at_one_instant_are_no_sign_of_a_bot(history: History) -> None:
    lines = pd.concat([history.events.head(80)] * 4, ignore_index=True)
    invoices = lines.assign(
        user_id="wholesaler",
        event_id=[f"i{i}" for i in range(320)],
        timestamp=NOW - 10**9 + np.arange(320) // 80 * 10**7,
    )
    kept = prepare(replace(history, events=pd.concat([history.events, invoices], ignore_index=True)), at_ms=NOW).events
    assert "wholesaler" in set(kept["user_id"])


def test_evaluate_writes_the_agreed_document(events: pd.DataFrame, courses: list[Course], tmp_path: Path) -> None:
    interactions, catalogue = tmp_path / "interactions.csv", tmp_path / "courses.csv"
    write_interactions(events, interactions)
    write_courses(course_frame(courses), catalogue)
    out = tmp_path / "out.json"
    arguments = ["--interactions", str(interactions), "--courses", str(catalogue), "--json", str(out), "--epochs", "1"]
    result = CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    document = json.loads(out.read_text())
    assert {"ndcg@10", "recall@10"} <= set(document["hybrid"])
    assert {"popularity", "recent_popularity", "item_knn", "ease", "tfidf_profile"} == set(document["baselines"])
    assert document["users"] > 0
    assert "| hybrid |" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--interactions", "a.csv"], ["--from-topic", "--courses", "b.csv"]])
def test_retrain_wants_one_source(arguments: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="either --from-topic"):
        CliRunner().invoke(retrain_command, [*arguments, "--no-publish"], catch_exceptions=False)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.csv")
    with pytest.raises(InputError, match=r"missing\.csv"):
        CliRunner().invoke(evaluate_command, ["--interactions", missing, "--courses", missing], catch_exceptions=False)


def test_without_redis_retrain_ends_before_it_reads_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    missing = str(tmp_path / "missing.csv")
    with pytest.raises(ServiceUnavailable):
        CliRunner().invoke(retrain_command, ["--interactions", missing, "--courses", missing], catch_exceptions=False)
