"""What visibility is worth: hit rate@10 and NDCG@10 by how late events become visible, beside incremental rivals.

    python -m benchmarks.prequential [--sets online-retail mars drifting] [--trials 1000] [--plot F.png] [--json F]

Each history is cut at one instant, after four fifths of its events. `recsys retrain` learns from what came before; then
time goes on, and each of some positive events (a learner's first touch of a course, drawn by the seed) is predicted
before it is known. *Nightly lists* are computed at midnight UTC from the records as they were then. *Refreshed lists*
are computed by the same model from the records without the last 1 s … 1 day. The rivals learn event by event, as late
as the records: decayed popularity (half-lives of 1 and 7 days), item-kNN, incremental matrix factorisation (ISGD, tuned
on what came before the cut). All leave out what the learner is known to have seen. Sets are found in RECSYS_DATA_DIR
(default ../shared/data); the drifting history is simulated: tastes and popularity change, courses appear all the time.

Intervals are 95 %, by resampling learners. The model is trained once for a set: what is shown is what state is worth.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.rivals import DecayedPopularity, Isgd, ItemKnn, Rival, tuned_isgd
from recsys.events import Interaction
from recsys.exclusion import Exclusion
from recsys.files import read_interactions
from recsys.model.scorer import Scorer
from recsys.prequential import TOP, hit, ndcg
from recsys.record.rules import RecordRules, record_of
from recsys.record.value import Record, join
from recsys.vocabulary import CONTROL, DEFAULT_WEIGHTS
from stream.monitor.judge import is_positive

HERE = Path(__file__).parent
RECSYS = [sys.executable, "-m", "recsys.cli"]
DAY_MS = 86_400_000
DELAYS_MS = {"1 s": 1000, "10 s": 10_000, "60 s": 60_000, "1 h": 3_600_000, "1 day": DAY_MS}
NIGHTLY, REFRESHED = "nightly lists", "refreshed lists"
TRAINED_SHARE, RESAMPLES = 0.8, 500
MEASURES = {"hit_rate": f"hit rate@{TOP}", "ndcg": f"NDCG@{TOP}"}
SETS = ("online-retail", "mars", "drifting")


class History(NamedTuple):
    """A history in order of time.

    Attributes:
        events: All of it.
        users: Learner → row.
    """

    events: Sequence[Interaction]
    users: Mapping[str, int]


@dataclass
class State:
    """All that was known at a time: records of learners, and the rivals that learned from them.

    Attributes:
        rules: How events become records.
        row_of: Course → row of the model's catalogue.
        rivals: By name.
    """

    rules: RecordRules
    row_of: Mapping[str, int]
    rivals: Mapping[str, Rival]
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    touched: dict[str, list[int]] = field(default_factory=dict)
    told: int = 0

    def advance(self, history: History, until_ms: int) -> None:
        """Learns what happened up to and including a time; times do not fall."""
        while self.told < len(history.events) and history.events[self.told].timestamp <= until_ms:
            event = history.events[self.told]
            self.told += 1
            of_user = self.records.setdefault(event.user_id, {})
            before = of_user.get(event.course_id)
            of_user[event.course_id] = join(before or Record(), record_of(event, self.rules))
            row = self.row_of.get(event.course_id)
            if before is not None or row is None or not is_positive(event, DEFAULT_WEIGHTS):
                continue
            touched = self.touched.setdefault(event.user_id, [])
            for rival in self.rivals.values():
                rival.learn(history.users[event.user_id], row, touched, event.timestamp)
            touched.append(row)

    def learner(self, user: str, at_ms: int) -> tuple[Mapping[str, float], set[str]]:
        """A learner's stored engagement, and the courses that are left out."""
        records = self.records.get(user, {})
        engagement = {course: self.rules.engagement(record) for course, record in records.items()}
        done = {course: until for course, record in records.items() if (until := self.rules.done_until(record))}
        return engagement, set(Exclusion().excluded(done, engagement, at_ms=at_ms))


def read_history(path: Path) -> History:
    """The events of a neutral file, without those that erase or merge."""
    frame = read_interactions(path).sort_values("timestamp", kind="stable")
    columns = (frame[name] for name in ("event_id", "user_id", "course_id", "type", "timestamp", "value"))
    events = [
        Interaction(name, user, course, kind, int(at_ms), None if pd.isna(value) else float(value))
        for name, user, course, kind, at_ms, value in zip(*columns, strict=True)
        if kind not in CONTROL
    ]
    return History(events, {user: row for row, user in enumerate(dict.fromkeys(event.user_id for event in events))})


def prepared(name: str, folder: Path) -> None:
    """Writes a set's neutral files."""
    data = Path(os.environ.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / name.replace("-", "_")
    command = ["simulate", "--learners", "1500", "--courses", "400", "--days", "60"]
    if name != "drifting":
        command = ["import", name, "--source", str(data)]
    subprocess.run([*RECSYS, *command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)


def trained(folder: Path, cut_ms: int) -> Scorer:
    """The model that `recsys retrain` makes of what came before the cut."""
    frame = read_interactions(folder / "interactions.parquet")
    frame[frame["timestamp"] < cut_ms].to_parquet(folder / "before.parquet")
    env = {**os.environ, "RECSYS_MODELS_DIR": str(folder / "models"), "RECSYS_REPORTS_DIR": str(folder / "reports")}
    files = ["--interactions", str(folder / "before.parquet"), "--courses", str(folder / "courses.parquet")]
    subprocess.run(
        [*RECSYS, "retrain", *files, "--no-publish"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    return Scorer.load(next((folder / "models").glob("*/manifest.json")).parent)


def first_touches(history: History, cut: int, row_of: Mapping[str, int]) -> list[tuple[int, int]]:
    """Positive first touches before the cut, as rows of learner and course."""
    pairs: dict[tuple[int, int], None] = {}
    for event in history.events[:cut]:
        if event.course_id in row_of and is_positive(event, DEFAULT_WEIGHTS):
            pairs.setdefault((history.users[event.user_id], row_of[event.course_id]))
    return list(pairs)


def drawn_trials(history: History, cut: int, catalogue: Mapping[str, int], count: int, seed: int) -> list[int]:
    """Places of positive first touches after the cut, of courses that the model knows, in order of time."""
    seen: set[tuple[str, str]] = set()
    trials = []
    for place, event in enumerate(history.events):
        pair = (event.user_id, event.course_id)
        if pair not in seen and place >= cut and is_positive(event, DEFAULT_WEIGHTS) and event.course_id in catalogue:
            trials.append(place)
        seen.add(pair)
    return sorted(random.Random(seed).sample(trials, min(count, len(trials))))


class Figure(NamedTuple):
    """A mean over trials with its 95 % interval."""

    mean: float
    low: float
    high: float


def figure(values: Sequence[float], learners: NDArray[np.intp], rng: np.random.Generator) -> Figure:
    """The mean, and its interval by resampling learners with all their trials."""
    count = int(learners.max()) + 1
    sums, trials = np.bincount(learners, values, count), np.bincount(learners, minlength=count)
    drawn = rng.integers(0, count, (RESAMPLES, count))
    means = sums[drawn].sum(axis=1) / np.maximum(trials[drawn].sum(axis=1), 1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Figure(float(np.mean(values)), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Method:
    """One way to recommend, as late as its state.

    Attributes:
        name: For the reader.
        delay: How late; NIGHTLY for lists of midnight.
        state: What it knows.
        ranked: Learner, time, and what is left out → the first `TOP` courses.
    """

    name: str
    delay: str
    state: State
    ranked: Callable[[str, int], Sequence[str]]


def methods_of(history: History, scorer: Scorer, isgd: Mapping[str, Any]) -> Iterator[Method]:
    """Every method at every delay."""
    courses, row_of = len(scorer.course_ids), {course: row for row, course in enumerate(scorer.course_ids)}
    rules = RecordRules()

    def by_model(state: State, user: str, at_ms: int) -> Sequence[str]:
        engagement, exclude = state.learner(user, at_ms)
        return scorer.rank(user, engagement, at_ms=at_ms, n=TOP, exclude=exclude)[0]

    def by_rival(state: State, rival: Rival, user: str, at_ms: int) -> Sequence[str]:
        _, exclude = state.learner(user, at_ms)
        scores = rival.scores(history.users[user], state.touched.get(user, [])).copy()
        scores[[row_of[course] for course in exclude if course in row_of]] = -np.inf
        best = np.argpartition(-scores, min(TOP, courses - 1))[:TOP]
        return [scorer.course_ids[row] for row in best[np.argsort(-scores[best], kind="stable")]]

    night = State(rules, row_of, {})
    yield Method(NIGHTLY, NIGHTLY, night, partial(by_model, night))
    for delay in DELAYS_MS:
        rivals: dict[str, Rival] = {
            "popularity, 1 day": DecayedPopularity(courses, DAY_MS),
            "popularity, 7 days": DecayedPopularity(courses, 7 * DAY_MS),
            "item-kNN": ItemKnn(courses),
            "ISGD": Isgd(len(history.users), courses, **isgd),
        }
        state = State(rules, row_of, rivals)
        yield Method(REFRESHED, delay, state, partial(by_model, state))
        for name, rival in rivals.items():
            yield Method(name, delay, state, partial(by_rival, state, rival))


def visible_until(delay: str, at_ms: int) -> int:
    """The last time of which is known at a time."""
    return at_ms // DAY_MS * DAY_MS - 1 if delay == NIGHTLY else at_ms - DELAYS_MS[delay]


def compare(name: str, folder: Path, *, trials: int, seed: int) -> dict[str, Any]:
    """One set: method → delay → figures."""
    began = time.perf_counter()
    prepared(name, folder)
    history = read_history(folder / "interactions.parquet")
    cut_ms = history.events[int(TRAINED_SHARE * len(history.events))].timestamp
    cut = bisect.bisect_left(history.events, cut_ms, key=lambda event: event.timestamp)
    scorer = trained(folder, cut_ms)
    row_of = {course: row for row, course in enumerate(scorer.course_ids)}
    isgd = tuned_isgd(first_touches(history, cut, row_of), len(history.users), len(row_of))
    methods = list(methods_of(history, scorer, isgd))
    places = drawn_trials(history, cut, row_of, trials, seed)
    hits: dict[tuple[str, str], list[float]] = {(each.name, each.delay): [] for each in methods}
    gains: dict[tuple[str, str], list[float]] = {(each.name, each.delay): [] for each in methods}
    for place in places:
        event = history.events[place]
        for method in methods:
            method.state.advance(history, visible_until(method.delay, event.timestamp))
            ranked = method.ranked(event.user_id, event.timestamp)
            hits[method.name, method.delay].append(hit(ranked, event.course_id))
            gains[method.name, method.delay].append(ndcg(ranked, event.course_id))
    rows = {user: row for row, user in enumerate(dict.fromkeys(history.events[place].user_id for place in places))}
    learners = np.array([rows[history.events[place].user_id] for place in places])
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for key, values in hits.items():
        figures = {"hit_rate": figure(values, learners, rng), "ndcg": figure(gains[key], learners, rng)}
        found.setdefault(key[0], {})[key[1]] = {each: one._asdict() for each, one in figures.items()}
    counts = {"isgd": isgd, "events": len(history.events), "trials": len(places), "learners": len(rows)}
    return {**counts, "seconds": time.perf_counter() - began, "methods": found}


def table(name: str, result: Mapping[str, Any], measure: str) -> Table:
    """The figures of one set: a row a method, a column a delay."""
    title = f"{name}: {MEASURES[measure]} of {result['trials']} events of {result['learners']} learners"
    made = Table(title=title)
    made.add_column("method")
    for delay in DELAYS_MS:
        made.add_column(delay, justify="right")
    for method, by_delay in result["methods"].items():
        cells = [by_delay.get(delay, by_delay.get(NIGHTLY)) for delay in DELAYS_MS]
        shown = [
            f"{cell[measure]['mean']:.3f} ({cell[measure]['low']:.3f} … {cell[measure]['high']:.3f})" for cell in cells
        ]
        made.add_row(method, *(shown[:1] if method == NIGHTLY else shown))
    return made


def plot(results: Mapping[str, Any], path: Path) -> None:
    """A panel for each set and measure; the nightly lists as a band."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - only for the plot

    canvas = Canvas(figsize=(11, 3.4 * len(results)), layout="constrained")
    panels = canvas.subplots(len(results), 2, squeeze=False)
    delays = list(DELAYS_MS)
    for row, (name, result) in enumerate(results.items()):
        for panel, measure in zip(panels[row], MEASURES, strict=True):
            for number, (method, by_delay) in enumerate(result["methods"].items()):
                cells = [by_delay.get(delay, by_delay.get(NIGHTLY))[measure] for delay in delays]
                means, lows, highs = ([cell[key] for cell in cells] for key in ("mean", "low", "high"))
                if method == NIGHTLY:
                    panel.axhline(means[0], color="grey", linestyle="--", label=method)
                    panel.axhspan(lows[0], highs[0], color="grey", alpha=0.15)
                    continue
                error = [np.subtract(means, lows), np.subtract(highs, means)]
                places = np.arange(len(delays)) + 0.06 * number
                panel.errorbar(places, means, yerr=error, marker="o", capsize=2, label=method)
            panel.set(title=f"{name}: {MEASURES[measure]}", xlabel="events become visible after", ylim=(0, None))
            panel.set_xticks(range(len(delays)), delays)
    canvas.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    canvas.savefig(path, dpi=150)


def main() -> None:
    """Prints the tables, writes plot and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--trials", type=int, default=1000, help="events judged in each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, results = Console(width=160), {}
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = compare(name, Path(folder), trials=options.trials, seed=options.seed)
        for measure in MEASURES:
            console.print(table(name, results[name], measure))
        console.print(f"{name}: {results[name]['events']:,} events, {results[name]['seconds']:.0f} s")
    if options.plot:
        plot(results, options.plot)
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
