"""From history to a published model, on files and the in-memory store."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.candidate import checked, choose_candidate
from batch.commands import evaluate as evaluate_command
from batch.commands import retrain as retrain_command
from batch.encoding import EngagementRule
from batch.evaluation.experiment import Experiment
from batch.evaluation.gate import judge_newest
from batch.evaluation.golden import write_golden
from batch.evaluation.labels import named
from batch.evaluation.published import GoldenSlice, ndcg_of, newest_cutoff
from batch.fallback import RECENT_POPULARITY, SERVABLE, fit_fallback
from batch.history import History
from batch.pipeline import Compared, Retrained, decide, headline, retrain
from batch.popularity import decayed_popularity
from batch.preparation import EVENT_COLUMNS, prepare
from batch.publish import Published, fill_caches, published_model
from recsys.catalog import Course
from recsys.engagement import ForwardDecay
from recsys.errors import CandidateRejected, ConfigurationError, InputError, ServiceUnavailable
from recsys.keys import Shard, Topology, partition_of
from recsys.model.bundle import write_bundle
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
TOPOLOGY = Topology(3)
DAY = 86_400_000


async def _with_engagement(users: Sequence[str]) -> MemoryStore:
    store = MemoryStore()
    await store.establish_topology(TOPOLOGY)
    decay = ForwardDecay(30.0)
    for user in users:
        changes = effects(engagement={user: {"kafka-1": decay.stored(5.0, NOW)}}, done={user: ["kafka-2"]})
        shard = TOPOLOGY.shard(partition_of(user, 3))
        fence = await store.fence(shard, "g")
        assert await store.commit(shard, "g", fence, (fence if fence is not None else -1) + 1, changes)
    return store


def test_a_retrain_leaves_a_verified_bundle_and_a_report(retrained: Retrained) -> None:
    scorer = Scorer.load(retrained.bundle)
    manifest = json.loads((retrained.bundle / "manifest.json").read_text())
    assert scorer.version == retrained.bundle.name
    assert manifest["data"]["source"] == "interactions.csv"
    assert manifest["metrics"]["hybrid"]["ndcg@10"] == retrained.experiment.hybrid.mean("ndcg@10")
    assert manifest["settings"]["item_item_l2"] == retrained.experiment.hyperparameters.item_item_l2
    report = json.loads((retrained.report / "report.json").read_text())
    assert report["gate"]["passed"] is True
    assert {p.name for p in retrained.report.iterdir()} == {
        "report.json", "report.md", "report.html",
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
            listed = await store.listed(TOPOLOGY.shard(partition_of(user, 3)), "g", user)
            top, done = listed.top, listed.done
            assert top is not None
            assert top.model_version == scorer.version
            assert len(top.course_ids) == 7
            assert "kafka-2" not in top.course_ids
            assert set(done) == {"kafka-2"}
        published = await published_model(store, models_dir)
        assert published.pointer == pointer
        assert published.scorer is not None
        assert published.scorer.version == scorer.version
        for partition in range(3):
            assert not await store.dirty_users(Shard(partition), 10)

    asyncio.run(scenario())


def test_a_large_platform_is_not_filled_by_the_publisher_alone(retrained: Retrained) -> None:
    async def scenario() -> None:
        users = [f"l{n}" for n in range(40)]
        store = await _with_engagement(users)
        scorer, _ = await publish_bundle(store, retrained.bundle, replacing=None, at_ms=NOW, keep=10)
        assert await fill_caches(store, scorer, at_ms=NOW, top_n=7, limit=12) <= 12
        waiting = sum([len(await store.dirty_users(Shard(partition), 99)) for partition in range(3)])
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


def _weakened(experiment: Experiment, factor: float) -> Experiment:
    """The experiment, had the hybrid found only a part of what it did."""
    weak = {name: values * factor for name, values in experiment.hybrid.per_user.items()}
    return replace(experiment, hybrid=replace(experiment.hybrid, per_user=weak))


def test_a_hybrid_that_loses_to_a_baseline_makes_way_for_it(retrained: Retrained, rule: EngagementRule) -> None:
    """Seen on MovieLens-1M: the retrain ended with nothing published, and the system had no model at all."""
    assert choose_candidate(retrained.experiment, rule).name == "hybrid"
    candidate = choose_candidate(_weakened(retrained.experiment, 0.0), rule)
    assert candidate.is_fallback
    said = f"A baseline, {named(candidate.name)}, is the candidate, because the hybrid model loses to it"
    assert said in candidate.reason
    verdict = judge_newest(None, [], fallback=True)
    assert headline(candidate, verdict).startswith("To be published. A baseline")


@pytest.mark.parametrize("name", SERVABLE)
def test_a_baseline_is_served_as_any_bundle(
    name: str, retrained: Retrained, rule: EngagementRule, tmp_path: Path, courses: list[Course]
) -> None:
    """Its bundle ranks as the baseline of the evaluation does, and a stranger gets the popular courses."""
    experiment = retrained.experiment
    draft = fit_fallback(name, experiment.encoded, experiment.hyperparameters, experiment.tuned.options[name], rule)
    scorer = Scorer.load(write_bundle(tmp_path, draft))
    served = ndcg_of(scorer, experiment.cases, experiment.model.courses)
    assert served.mean() == pytest.approx(experiment.baselines[name].mean("ndcg@10"), abs=0.05)
    top, _ = scorer.rank("stranger", {}, at_ms=NOW, n=3)
    half_life = experiment.tuned.options[name].get("half_life_days", np.inf) if name == RECENT_POPULARITY else np.inf
    popularity = decayed_popularity(experiment.encoded, int(experiment.encoded.time[-1]), half_life)
    assert top == [courses[row].course_id for row in np.argsort(-popularity, kind="stable")[:3]]


def _newer(events: pd.DataFrame, learners: int) -> pd.DataFrame:
    """One more course of their subject for so many learners, each another one, a day after everything else."""
    first = events.drop_duplicates("user_id").head(learners)
    subject = first["course_id"].str.split("-").str[0]
    other = subject + "-" + pd.Series([str(i % 20) for i in range(len(first))], index=first.index)
    ids = [f"n{i}" for i in range(len(first))]
    late = first.assign(course_id=other, timestamp=events["timestamp"].max() + DAY, event_id=ids)
    return pd.concat([events, late], ignore_index=True)


def _compared_anew(
    retrained: Retrained, history: History, rule: EngagementRule, settings: Settings, quick: HyperParameters
) -> Compared:
    """The next retrain up to its comparison, which is that of the first: training once more would not tell more.

    What is decided from it is trained `quick`.
    """
    prepared = prepare(history, at_ms=NOW)
    cutoff, unseen = newest_cutoff(prepared.events, prepared.courses, rule, settings.models_dir, retrained.bundle.name)
    assert cutoff is None
    experiment = replace(retrained.experiment, hyperparameters=quick)
    return Compared(prepared, rule, experiment, cutoff, unseen)


def test_a_retrain_with_few_new_learners_says_so_and_publishes_the_newer_model(
    history: History, retrained: Retrained, settings: Settings, rule: EngagementRule, quick: HyperParameters
) -> None:
    newer = replace(history, events=_newer(history.events, 5))
    compared = _compared_anew(retrained, newer, rule, settings, quick)
    result = decide(compared, settings, Scorer.load(retrained.bundle), at_ms=NOW + 5)
    assert result.verdict.passed
    assert f"not compared with {retrained.bundle.name} on new events" in result.verdict.reason
    assert "(30 needed)" in result.verdict.reason
    first_line = (result.report / "report.md").read_text().splitlines()[0]
    assert first_line == headline(result.candidate, result.verdict)
    metrics = json.loads((result.bundle / "manifest.json").read_text())["metrics"]
    assert (metrics["model"], metrics["headline"]) == ("hybrid", first_line)


def test_a_retrain_is_compared_with_the_model_in_use_on_what_neither_has_seen(
    history: History, retrained: Retrained, settings: Settings, quick: HyperParameters, rule: EngagementRule
) -> None:
    events = _newer(history.events, 80)
    cutoff, said = newest_cutoff(events, history.courses, rule, settings.models_dir, retrained.bundle.name)
    assert (cutoff, said) == (int(history.events["timestamp"].max()) + 1, "")
    newer = replace(history, events=events)
    with contextlib.suppress(CandidateRejected):  # either way: so few learners decide by chance
        retrain(prepare(newer, at_ms=NOW + 6), settings, quick, Scorer.load(retrained.bundle), at_ms=NOW + 6)
    report = json.loads((settings.reports_dir / f"retrain-{NOW + 6}" / "report.json").read_text())
    (comparison,) = report["gate"]["newest"]
    assert comparison["version"] == retrained.bundle.name
    assert comparison["learners"] >= 30


def test_the_golden_slice_is_frozen_once_and_found_again(
    history: History, retrained: Retrained, rule: EngagementRule, tmp_path: Path
) -> None:
    """Its values are those of a model that had not seen it, and it names no learner."""
    golden = retrained.golden
    assert golden is not None
    assert golden.version == retrained.bundle.name
    assert sum(golden.cases.values()) / len(golden.cases) == pytest.approx(retrained.candidate.per_user.mean())
    write_golden(tmp_path, golden)
    assert "l1" not in (tmp_path / "golden.json").read_text()
    frozen = GoldenSlice.of(tmp_path, _newer(history.events, 80), history.courses, rule)
    again = frozen.compare(frozen.measure(retrained.experiment.model), seed=0)
    assert again.difference.mean == pytest.approx(0.0, abs=1e-9)
    assert again.learners == len(golden.cases)

    few = history.events[history.events["user_id"].isin([f"l{i}" for i in range(20)])]
    assert GoldenSlice.of(tmp_path, few, history.courses, rule).frozen is None


def test_a_model_whose_numbers_are_none_is_not_published(retrained: Retrained) -> None:
    model = retrained.experiment.model
    assert checked(model) is model
    bias = np.where(np.arange(len(model.courses)) == 3, np.nan, model.arrays["course_bias"])
    with pytest.raises(CandidateRejected, match="numbers that are none, in course_bias"):
        checked(replace(model, arrays={**model.arrays, "course_bias": bias}))


def test_a_rejected_candidate_leaves_its_report_and_no_bundle(
    history: History, retrained: Retrained, settings: Settings, rule: EngagementRule, quick: HyperParameters
) -> None:
    """A recipe shown to be far below the best on the golden slice is refused; the report's first line says so."""
    assert retrained.golden is not None
    perfect = dict.fromkeys(retrained.golden.cases, 2.0)
    write_golden(settings.models_dir, msgspec.structs.replace(retrained.golden, cases=perfect))
    before = set(settings.models_dir.iterdir())
    current = Scorer.load(retrained.bundle)
    compared = _compared_anew(retrained, history, rule, settings, quick)
    with pytest.raises(CandidateRejected, match=r"nothing published.*golden slice.*report in"):
        decide(compared, settings, current, at_ms=NOW + 1)
    (settings.models_dir / "golden.json").unlink()
    assert set(settings.models_dir.iterdir()) | {settings.models_dir / "golden.json"} == before
    folder = settings.reports_dir / f"retrain-{NOW + 1}"
    assert json.loads((folder / "report.json").read_text())["gate"]["passed"] is False
    assert (folder / "report.md").read_text().startswith(f"Not published, {retrained.bundle.name} stays in use.")


def test_refused_and_repeated_events_are_counted_and_left_out(history: History) -> None:
    bad = history.events.head(3).assign(type=["view", "teleport", "rate"], event_id=["n1", "n2", "n3"])
    dirty = replace(history, events=pd.concat([history.events, history.events.head(2), bad], ignore_index=True))
    prepared = prepare(dirty, at_ms=NOW)
    assert len(prepared.events) == len(history.events) + 1
    assert tuple(prepared.events.columns) == EVENT_COLUMNS  # what nobody looks at does not lie in memory for minutes
    assert prepared.facts["events"]["dropped"] == {"unknown_type": 1, "bad_value": 1, "repeated": 2}


def test_events_booked_at_one_instant_are_no_sign_of_a_bot(history: History) -> None:
    lines = pd.concat([history.events.head(80)] * 4, ignore_index=True)
    invoices = lines.assign(
        user_id="wholesaler",
        event_id=[f"i{i}" for i in range(320)],
        timestamp=NOW - 10**9 + np.arange(320) // 80 * 10**7,
    )
    kept = prepare(replace(history, events=pd.concat([history.events, invoices], ignore_index=True)), at_ms=NOW).events
    assert "wholesaler" in set(kept["user_id"])


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
