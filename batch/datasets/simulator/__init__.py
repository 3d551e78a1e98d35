"""A seeded simulator of learners, for machines that have no history: neutral frames from a few numbers.

Comes in: sizes, a seed and the end of the period. Goes out: interactions, courses and, where bots were asked for, the
truth about who is one. Holds: the same arguments give the same frames; every event passes the rules of
`recsys.events`; tastes, popularity and the catalogue change over time, so a random split would flatter a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.datasets.simulator.bots import CRAWLER, CRAWLER_AGENTS, SCRIPT, simulate_bots
from batch.datasets.simulator.catalogue import SimulatedCatalogue, simulate_catalogue
from batch.datasets.simulator.funnel import Events, simulate_events
from batch.datasets.simulator.population import Population, simulate_population
from batch.datasets.simulator.visits import MS_PER_DAY, simulate_visits
from recsys.errors import ConfigurationError
from recsys.files import INTERACTION_COLUMNS

DEFAULT_END_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: a fixed default, so that equal commands write equal files."""

SESSION_PAUSE_MS = 30 * 60 * 1000
ONCE_TYPES = ("enroll", "complete", "dismiss", "unenroll")
__all__ = ["DEFAULT_END_MS", "Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation gives.

    Attributes:
        interactions: As `recsys.files.read_interactions` gives it, in order of time.
        courses: As `recsys.files.read_courses` gives it.
        bots: Columns `user_id` and `kind`; empty without bots.
    """

    interactions: pd.DataFrame
    courses: pd.DataFrame
    bots: pd.DataFrame


def simulate(
    *,
    learners: int,
    courses: int,
    days: int,
    seed: int,
    bots: float = 0.0,
    end_ms: int = DEFAULT_END_MS,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Simulation:
    """Simulates learners on a course site.

    Args:
        learners: How many, at least 1; about 50 events each in 90 days.
        courses: Size of the catalogue at the end, at least 1.
        days: Length of the period, at least 1.
        seed: The only source of chance.
        bots: Share of the learners that are bots, in 0..0.5.
        end_ms: End of the period, ms since 1970 UTC, exclusive.
        on_progress: Called with the fraction done, up to 1.

    Raises:
        ConfigurationError: An argument is out of its range.
    """
    _check(learners=learners, courses=courses, days=days, bots=bots)
    rng = np.random.default_rng(seed)
    period = (end_ms - days * MS_PER_DAY, end_ms)
    catalogue = simulate_catalogue(rng, courses, *period)
    people = simulate_population(rng, learners, *period)
    number = round(learners * bots)
    automated = rng.permutation(learners)[:number]
    kinds = np.resize(np.array([CRAWLER, SCRIPT], dtype=object), number)
    people.activity[automated] = 0.0
    _disguise(rng, people, automated, kinds)
    visits = simulate_visits(rng, people, catalogue, period, on_progress)
    parts = [simulate_events(rng, visits, catalogue.quality)]
    if number:
        parts.append(simulate_bots(rng, automated, kinds, catalogue.released_ms, period))
    ids = np.array([f"learner-{i + 1:05d}" for i in range(learners)], dtype=object)
    truth = pd.DataFrame({"user_id": ids[automated], "kind": kinds}, dtype=object)
    frame = _frame(Events.joined(parts), catalogue, people, ids, seed, period)
    on_progress(1.0)
    return Simulation(frame, catalogue.courses, truth.sort_values("user_id", ignore_index=True))


def _check(*, learners: int, courses: int, days: int, bots: float) -> None:
    for name, number in (("learners", learners), ("courses", courses), ("days", days)):
        if number < 1:
            raise ConfigurationError(f"expected at least 1 as {name}, received {number}")
    if not 0.0 <= bots <= 0.5:  # noqa: PLR2004 - documented above
        raise ConfigurationError(f"expected a share of bots in [0, 0.5], received {bots}")


def _disguise(rng: np.random.Generator, people: Population, automated: np.ndarray, kinds: np.ndarray) -> None:
    """Crawlers say who they are; scripts keep the browser they pretend to be."""
    crawlers = automated[kinds == CRAWLER]
    people.user_agent[crawlers] = rng.choice(np.array(CRAWLER_AGENTS, dtype=object), size=len(crawlers))


def _frame(
    events: Events,
    catalogue: SimulatedCatalogue,
    people: Population,
    ids: np.ndarray,
    seed: int,
    period: tuple[int, int],
) -> pd.DataFrame:
    events = events.rows(np.flatnonzero((events.timestamp >= period[0]) & (events.timestamp < period[1])))
    events = events.rows(np.lexsort((events.course, events.learner, events.timestamp)))
    course_ids = catalogue.courses["course_id"].to_numpy(dtype=object)
    frame = pd.DataFrame(
        {
            "user_id": ids[events.learner],
            "course_id": course_ids[events.course],
            "type": events.type,
            "timestamp": events.timestamp,
            "value": events.value,
            "session_id": _session_ids(events, seed),
            "user_agent": people.user_agent[events.learner],
            "into": None,
        }
    )
    repeated = frame["type"].isin(ONCE_TYPES) & frame.duplicated(["user_id", "course_id", "type"])
    frame = frame[~repeated].reset_index(drop=True)
    frame.insert(0, "event_id", [f"s{seed}-{i}" for i in range(len(frame))])
    strings = [name for name in INTERACTION_COLUMNS if name not in {"timestamp", "value"}]
    return frame[list(INTERACTION_COLUMNS)].astype({**dict.fromkeys(strings, object), "timestamp": "int64"})


def _session_ids(events: Events, seed: int) -> list[str]:
    """A new session after half an hour of a learner's silence, as web analytics count them."""
    order = np.lexsort((events.timestamp, events.learner))
    learner, timestamp = events.learner[order], events.timestamp[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (learner[1:] != learner[:-1]) | (np.diff(timestamp) > SESSION_PAUSE_MS)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = first.cumsum()
    return [f"s{seed}-{i}" for i in number.tolist()]
