"""What visibility is worth: hit rate@10 and NDCG@10 by how late events become visible, beside incremental rivals.

    python -m benchmarks.prequential [--sets online-retail mars drifting] [--trials 1000] [--plot F.png] [--json F]

Each history is cut at one instant, after four fifths of its events. `recsys retrain` learns from what came before; then
time goes on, and each of some positive events (a learner's first touch of a course, drawn by the seed) is predicted
before it is known. *Nightly lists* are computed at midnight UTC from the records as they were then. *Refreshed lists*
are computed by the same model from the records without the last 1 s … 1 day. *Live features* are the same with course
features of as late a time instead of those of the retrain. *Fine-tuning* is that with the last increment of
`recsys finetune` that contains nothing later; its gate judges `--increments` times between the cut and the end.
The rivals learn event by event, as late as the records: decayed popularity (half-lives of 1 and 7 days), item-kNN,
incremental matrix factorisation (ISGD, tuned on what came before the cut). All leave out what the learner is known to
have seen. Sets are found in RECSYS_DATA_DIR (default ../shared/data); the drifting history is simulated: tastes and
popularity change, courses appear all the time.

Intervals are 95 %, by resampling learners. The model is trained once for a set.
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
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.prequential.figures import MEASURES, differences, figure, plot, table
from benchmarks.prequential.increments import Increments
from benchmarks.prequential.methods import (
    DELAYS_MS,
    FINE_TUNED,
    LIVE_FEATURES,
    REFRESHED,
    Method,
    methods_of,
    visible_until,
)
from benchmarks.prequential.state import History, read_history
from benchmarks.rivals import tuned_isgd
from recsys.files import read_interactions
from recsys.model.scorer import Scorer
from recsys.prequential import hit, ndcg
from recsys.vocabulary import DEFAULT_WEIGHTS
from stream.monitor.judge import is_positive

HERE = Path(__file__).parents[1]
RECSYS = [sys.executable, "-m", "recsys.cli"]
TRAINED_SHARE = 0.8
STEPS = {LIVE_FEATURES: REFRESHED, FINE_TUNED: LIVE_FEATURES}
"""Each step of real time, and the one that it is compared with."""

SETS = ("online-retail", "mars", "drifting")
Values = dict[tuple[str, str], dict[str, list[float]]]
"""Method and delay → measure → a value a trial."""


def prepared(name: str, folder: Path) -> None:
    """Writes a set's neutral files."""
    data = Path(os.environ.get("RECSYS_DATA_DIR", HERE.parents[1] / "shared" / "data")) / name.replace("-", "_")
    command = ["simulate", "--learners", "1500", "--courses", "400", "--days", "60"]
    if name != "drifting":
        command = ["import", name, "--source", str(data)]
    subprocess.run([*RECSYS, *command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)


def trained(folder: Path, cut_ms: int) -> Path:
    """The model that `recsys retrain` makes of what came before the cut; its folder."""
    frame = read_interactions(folder / "interactions.parquet")
    frame[frame["timestamp"] < cut_ms].to_parquet(folder / "before.parquet")
    env = {**os.environ, "RECSYS_MODELS_DIR": str(folder / "trained"), "RECSYS_REPORTS_DIR": str(folder / "reports")}
    files = ["--interactions", str(folder / "before.parquet"), "--courses", str(folder / "courses.parquet")]
    subprocess.run(
        [*RECSYS, "retrain", *files, "--no-publish"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    return next((folder / "trained").glob("*/manifest.json")).parent


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


def judged(history: History, methods: Sequence[Method], places: Sequence[int]) -> Values:
    """What each method said of each trial."""
    values: Values = {(each.name, each.delay): {measure: [] for measure in MEASURES} for each in methods}
    for place in track(places, description="events predicted", console=Console(stderr=True)):
        event = history.events[place]
        for method in methods:
            method.state.advance(history, visible_until(method.delay, event.timestamp))
            ranked, found = method.ranked(event.user_id, event.timestamp), values[method.name, method.delay]
            found["hit_rate"].append(hit(ranked, event.course_id))
            found["ndcg"].append(ndcg(ranked, event.course_id))
    return values


def compare(name: str, folder: Path, *, trials: int, seed: int, increments: int) -> dict[str, Any]:
    """One set: method → delay → figures, and what each step adds."""
    began = time.perf_counter()
    prepared(name, folder)
    history = read_history(folder / "interactions.parquet")
    cut_ms = history.events[int(TRAINED_SHARE * len(history.events))].timestamp
    cut = bisect.bisect_left(history.events, cut_ms, key=lambda event: event.timestamp)
    bundle = trained(folder, cut_ms)
    scorer = Scorer.load(bundle)
    row_of = {course: row for row, course in enumerate(scorer.course_ids)}
    isgd = tuned_isgd(first_touches(history, cut, row_of), len(history.users), len(row_of))
    tuned = Increments(bundle, history, cut, count=increments, folder=folder) if increments else None
    methods = list(methods_of(history, scorer, isgd, tuned))
    places = drawn_trials(history, cut, row_of, trials, seed)
    values = judged(history, methods, places)
    rows = {user: row for row, user in enumerate(dict.fromkeys(history.events[place].user_id for place in places))}
    learners = np.array([rows[history.events[place].user_id] for place in places])
    return {
        "isgd": isgd,
        "events": len(history.events),
        "trials": len(places),
        "learners": len(rows),
        "verdicts": Counter(tuned.verdicts if tuned is not None else ()),
        "seconds": time.perf_counter() - began,
        **_figures(values, learners, np.random.default_rng(seed)),
    }


def _figures(values: Values, learners: NDArray[np.intp], rng: np.random.Generator) -> dict[str, Any]:
    methods: dict[str, Any] = {}
    for (method, delay), found in values.items():
        figures = {measure: figure(each, learners, rng)._asdict() for measure, each in found.items()}
        methods.setdefault(method, {})[delay] = figures
    steps: dict[str, Any] = {}
    for step, before in STEPS.items():
        for delay in DELAYS_MS if step in methods else ():
            gained = {
                measure: figure(list(np.subtract(each, values[before, delay][measure])), learners, rng)._asdict()
                for measure, each in values[step, delay].items()
            }
            steps.setdefault(step, {})[delay] = gained
    return {"methods": methods, "steps": steps}


def main() -> None:
    """Prints the tables, writes plot and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--trials", type=int, default=1000, help="events judged in each set")
    parser.add_argument("--increments", type=int, default=20, help="of the fine-tuner in each set; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, results = Console(width=160), {}
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = compare(
                name, Path(folder), trials=options.trials, seed=options.seed, increments=options.increments
            )
        for measure in MEASURES:
            console.print(table(name, results[name], measure))
            console.print(differences(name, results[name], measure))
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in results[name]["verdicts"].items())
        console.print(
            f"{name}: {results[name]['events']:,} events, verdicts: {verdicts or 'none'}, "
            f"{results[name]['seconds']:.0f} s"
        )
    if options.plot:
        plot(results, options.plot)
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
