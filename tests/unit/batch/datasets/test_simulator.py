"""The simulator: reproducible, valid, realistic enough to be learned from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.datasets.commands import simulate as simulate_command
from batch.datasets.simulator import DEFAULT_END_MS, Simulation, simulate
from recsys.errors import ConfigurationError
from recsys.events import from_mapping
from recsys.files import courses_in

MS_PER_DAY = 86_400_000


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(learners=600, courses=200, days=90, seed=3, bots=0.02)


def test_the_same_arguments_give_the_same_frames_and_another_seed_others() -> None:
    one, again, other = (simulate(learners=50, courses=40, days=30, seed=seed, bots=0.1) for seed in (1, 1, 2))

    for name in ("interactions", "courses", "bots"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(again, name))
    assert not one.interactions.equals(other.interactions)


def test_every_event_is_one_that_the_stream_accepts(simulation: Simulation) -> None:
    for row in simulation.interactions.replace({np.nan: None}).to_dict("records"):
        from_mapping({str(name): value for name, value in row.items()}, arrival_ms=DEFAULT_END_MS)


def test_events_are_in_order_within_the_period_unique_and_of_known_courses(simulation: Simulation) -> None:
    events = simulation.interactions

    assert events["timestamp"].is_monotonic_increasing
    assert events["timestamp"].between(DEFAULT_END_MS - 90 * MS_PER_DAY, DEFAULT_END_MS - 1).all()
    assert not events.duplicated(["user_id", "event_id"]).any()
    assert set(events["course_id"]) <= set(simulation.courses["course_id"])
    assert len(list(courses_in(simulation.courses))) == 200


def test_titles_are_unique_and_skills_belong_to_the_text(simulation: Simulation) -> None:
    courses = simulation.courses

    assert courses["title"].is_unique
    assert all(skills[0] in title for skills, title in zip(courses["skills"], courses["title"], strict=True))
    assert (courses["intro"].str.len() > 80).all()


def test_the_funnel_narrows(simulation: Simulation) -> None:
    people = simulation.interactions[~simulation.interactions["user_id"].isin(simulation.bots["user_id"])]
    counts = people["type"].value_counts()

    assert counts["view"] > counts["click"] > counts["enroll"] > counts["complete"] > counts["rate"] > 0
    assert {"play", "progress", "bookmark", "dismiss"} <= set(counts.index)


def test_some_courses_are_first_seen_late(simulation: Simulation) -> None:
    first_seen = simulation.interactions.groupby("course_id")["timestamp"].min()

    late = (first_seen > DEFAULT_END_MS - 60 * MS_PER_DAY).mean()

    assert 0.1 < late < 0.5


def test_a_simulation_without_bots_has_none_and_with_them_says_who() -> None:
    assert simulate(learners=20, courses=20, days=10, seed=0).bots.empty
    named = simulate(learners=40, courses=20, days=10, seed=0, bots=0.5).bots
    assert len(named) == 20
    assert set(named["kind"]) == {"declared_crawler", "fast_script"}


def recall_at_10(scores: np.ndarray, seen: np.ndarray, wanted: np.ndarray) -> float:
    """Mean recall of unseen wanted courses; all arrays (users, courses)."""
    wanted = wanted & ~seen
    top = np.argsort(-np.where(seen, -np.inf, scores), axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
    tested = wanted.any(axis=1) & seen.any(axis=1)
    return float((hits[tested] / np.minimum(wanted[tested].sum(axis=1), 10)).mean())


def test_item_knn_beats_popularity_on_a_temporal_split() -> None:
    simulation = simulate(learners=1000, courses=300, days=90, seed=5)
    events = simulation.interactions[simulation.interactions["type"] == "click"]
    users, courses = pd.factorize(events["user_id"])[0], pd.factorize(events["course_id"])[0]
    shape = users.max() + 1, courses.max() + 1
    before = (events["timestamp"] < events["timestamp"].quantile(0.8)).to_numpy()
    seen, later = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    seen[users[before], courses[before]] = True
    later[users[~before], courses[~before]] = True

    together = seen.astype(float).T @ seen.astype(float)
    norms = np.sqrt(np.maximum(np.diag(together), 1.0))
    similarity = together / (np.outer(norms, norms) + 5.0)
    np.fill_diagonal(similarity, 0.0)
    popularity = recall_at_10(np.tile(seen.sum(axis=0), (shape[0], 1)).astype(float), seen, later)
    knn = recall_at_10(seen @ similarity, seen, later)

    assert knn > 1.5 * popularity, (knn, popularity)


@pytest.mark.parametrize("wrong", [{"learners": 0}, {"courses": 0}, {"days": 0}, {"bots": 0.6}, {"bots": float("nan")}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        simulate(**{"learners": 1, "courses": 1, "days": 1, "seed": 0, **wrong})  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_simulation_works(seed: int) -> None:
    assert len(simulate(learners=1, courses=1, days=1, seed=seed).courses) == 1


@pytest.mark.parametrize(
    ("option", "value"), [("--seed", "-1"), ("--end", "9" * 20), ("--end", "1970-01-01T00:00:00Z"), ("--end", "0")]
)
def test_an_option_that_cannot_be_simulated_is_refused(tmp_path: Path, option: str, value: str) -> None:
    result = CliRunner().invoke(simulate_command, ["--out", str(tmp_path), option, value])

    assert option in f"{result.output}{result.exception}"
    assert not list(tmp_path.iterdir())
