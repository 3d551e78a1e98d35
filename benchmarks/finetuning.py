"""Fine-tuning beside a full retrain to the same cut: NDCG@10, the old slice, CPU.

    python -m benchmarks.finetuning [--folder DIR] [--first 0.7 --cut 0.85] [--events N] [--late-courses]
    python -m benchmarks.finetuning --drawn sparse --scale 0.1

A model is fitted on the first 70 % of a history. The fine-tuner reads those (its start, which happens once), and then
the next 15 %, and is judged 40 times meanwhile; what passes takes the place of the model. All models then rank
for the learners of the rest, from histories up to the cut: the first model, what was published last (it is called
fine-tuned), what is in training after the last part and waits for evidence, and one fitted anew on 85 %. Each also
ranks with the course features of the cut instead of those it was fitted with, as live features would have it. The old
slice are labels of the first 70 %, ranked with the course features of their end. CPU is that of this process, one
thread: of the fit alone; of a whole retrain, with its evaluation, gate, report and bundle; and of fine-tuning with
verdicts, checkpoints and bundles, of which an increment is a tenth.

With `--late-courses` the first model knows only the courses that were touched by then. The others come through the
catalogue: all models have them placed by their text, and beside the fine-tuner stands one that gives them no rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batch.encoding import EncodedEvents, encode
from batch.evaluation.cases import Case, build_cases, warm
from batch.evaluation.evaluate import ndcg
from batch.evaluation.served import ScorerRecommender
from batch.history import History, from_files
from batch.metrics import paired_bootstrap
from batch.preparation import prepare, rule_of
from batch.ranking.snapshots import activity_before
from benchmarks.finetuned_models import INCREMENTS, FineTuned, fine_tuned, fitted, old_slice, retrain_cpu_s
from recsys.catalog import Course
from recsys.files import INTERACTION_COLUMNS
from recsys.model.bundle import Bundle, Draft, as_bundle
from recsys.model.course_features import course_features
from recsys.model.hyperparameters import HyperParameters
from recsys.model.increment_training import deterministic_tensorflow
from recsys.model.inputs import Doubles
from recsys.model.placed_courses import BundleTexts
from recsys.model.scorer import Scorer
from recsys.settings import load_settings

FIRST, CUT = 0.70, 0.85
MOST_CASES = 1000
FOREVER_MS = 4_000_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of interactions.parquet and courses.parquet (`recsys import`)")
    parser.add_argument("--drawn", default="sparse", help="a shape of benchmarks/shapes.py, without --folder")
    parser.add_argument("--scale", type=float, default=0.1, help="of the drawn shape")
    parser.add_argument("--first", type=float, default=FIRST, help="share of the events that the first model has seen")
    parser.add_argument("--cut", type=float, default=CUT, help="share of the events that the others have seen")
    parser.add_argument("--events", type=int, help="take the last so many events only")
    parser.add_argument("--late-courses", action="store_true", help="courses come when they are touched first")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    deterministic_tensorflow()  # before anything trains here, on one thread: CPU seconds of both are alike
    history = (
        from_files(options.folder / "interactions.parquet", options.folder / "courses.parquet")
        if (options.folder)
        else drawn(options.drawn, options.scale)
    )
    shares = options.first, options.cut
    figures = compare(history, options.events, shares=shares, late_courses=options.late_courses)
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures))


def drawn(shape: str, scale: float) -> History:
    """A history of a shape, whose courses rise and fall in popularity."""
    from benchmarks.shapes import SHAPES, draw  # noqa: PLC0415 - not needed for --folder

    events, courses = draw(SHAPES[shape].scaled(scale), seed=0)
    whole = events.reindex(columns=list(INTERACTION_COLUMNS))
    whole["value"] = whole["value"].astype(float)
    texts = ["session_id", "user_agent", "into"]
    whole[texts] = whole[texts].astype(object).where(whole[texts].notna(), None)
    return History(whole, tuple(courses), f"drawn {shape}")


def compare(
    history: History, newest: int | None, *, shares: tuple[float, float] = (FIRST, CUT), late_courses: bool = False
) -> dict[str, Any]:
    """All figures."""
    settings = load_settings()
    prepared = prepare(history, at_ms=FOREVER_MS, rules=settings.record_rules)
    events = prepared.events.sort_values("timestamp", kind="stable")
    if newest is not None:
        events = events.tail(newest)
    courses, rule, hyperparameters = prepared.courses, rule_of(settings), HyperParameters()
    first, cut = (int(len(events) * share) for share in shares)
    before, known, after = events.iloc[:first], events.iloc[:cut], events.iloc[cut:]
    cut_ms = int(after["timestamp"].iloc[0])
    touched = set(before["course_id"])
    late = [course for course in courses if late_courses and course.course_id not in touched]
    parent, _ = fitted(before, [each for each in courses if each not in late], rule, hyperparameters, end=first)
    retrained, fit_cpu_s = fitted(known, courses, rule, hyperparameters, end=cut)
    whole_cpu_s = retrain_cpu_s(replace(prepared, events=known), hyperparameters)
    encoded = encode(known, courses, rule)
    cases = warm(build_cases(encoded, after, rule, cut_ms))
    chosen = np.random.default_rng(0).permutation(len(cases))[:MOST_CASES]
    cases = [cases[place] for place in sorted(chosen)]
    offered = np.array([not course.retired for course in courses])
    models, tuned = compared(parent, retrained, known, first, late)
    learning = tuned.figures

    def judged(model: Bundle, of: Sequence[Case]) -> Doubles:
        return ndcg(ScorerRecommender(Scorer(model), courses), of, offered)

    placed = {name: with_courses(draft, courses) for name, draft in models.items()}
    at_cut = {name: with_features_of(model, encoded, cut_ms) for name, model in placed.items()}
    frozen = {name: judged(model, cases) for name, model in placed.items()}
    live = {name: judged(model, cases) for name, model in at_cut.items()}
    at_first = encode(before, courses, rule), int(before["timestamp"].iloc[-1]) + 1
    old = {name: old_slice(with_features_of(model, *at_first), tuned.old) for name, model in placed.items()}
    if late:
        learning |= of_late_courses(
            late, courses, cases, lambda of: {n: judged(m, of) for n, m in at_cut.items()}, live
        )
    return {
        "history": history.source,
        "events": len(events),
        "learners": len(cases),
        **beside_the_retrained(frozen, ""),
        **beside_the_retrained(live, ", course features of the cut"),
        "old slice": {name: round(value, 4) for name, value in old.items()},
        "cpu_s": {"retrain": round(whole_cpu_s, 1), "fit alone": round(fit_cpu_s, 1), **learning.pop("cpu_s")},
        "retrain / one increment, cpu": round(INCREMENTS * whole_cpu_s / learning["cpu_of_increments_s"], 1),
        "fit alone / one increment, cpu": round(INCREMENTS * fit_cpu_s / learning["cpu_of_increments_s"], 1),
        **learning,
    }


def compared(
    parent: Draft, retrained: Draft, known: pd.DataFrame, first: int, late: Sequence[Course]
) -> tuple[dict[str, Draft], FineTuned]:
    """The models by name, and what fine-tuning left behind."""
    with tempfile.TemporaryDirectory() as name:
        tuned = fine_tuned(parent, known, first, Path(name), late)
    models = {"parent": parent, "fine-tuned": tuned.published, "in training": tuned.in_training}
    if late:
        with tempfile.TemporaryDirectory() as name:
            models["fine-tuned, no rows"] = fine_tuned(parent, known, first, Path(name), []).published
    return {**models, "retrained": retrained}, tuned


def beside_the_retrained(values: dict[str, Doubles], condition: str) -> dict[str, Any]:
    """NDCG@10 of each model, and of fine-tuning as a share of the retrained one's; names end with the condition."""
    return {
        f"ndcg@10{condition}": {name: round(float(each.mean()), 4) for name, each in values.items()},
        f"fine-tuned / retrained{condition}": ratio(values, "fine-tuned"),
        f"in training / retrained{condition}": ratio(values, "in training"),
        f"fine-tuned - parent{condition}": list(paired_bootstrap(values["fine-tuned"], values["parent"], seed=0)),
    }


def of_late_courses(
    late: Sequence[Course],
    courses: Sequence[Course],
    cases: Sequence[Case],
    judged: Callable[[Sequence[Case]], dict[str, Doubles]],
    live: dict[str, Doubles],
) -> dict[str, Any]:
    """What rows of their own are worth, in all and where a late course is all that is asked for."""
    is_late = np.isin([course.course_id for course in courses], [course.course_id for course in late])
    narrowed = [case._replace(relevant=case.relevant[is_late[case.relevant]]) for case in cases]
    found = judged([case for case in narrowed if case.relevant.size])
    with_rows, without = "fine-tuned", "fine-tuned, no rows"
    return {
        "late courses": len(late),
        "no rows / retrained, course features of the cut": ratio(live, without),
        "rows add, course features of the cut": list(paired_bootstrap(live[with_rows], live[without], seed=0)),
        "ndcg@10 of late courses": {name: round(float(values.mean()), 4) for name, values in found.items()},
        "rows add to late courses": list(paired_bootstrap(found[with_rows], found[without], seed=0)),
        "learners with late courses": len(found["parent"]),
    }


def with_courses(draft: Draft, courses: Sequence[Course]) -> Bundle:
    """The draft with those courses that it does not know placed by their text, as in use."""
    return BundleTexts(as_bundle(draft)).with_catalogue({course.course_id: course for course in courses}, ())


def ratio(values: dict[str, Doubles], name: str) -> float:
    """NDCG@10 of a model over that of the retrained one."""
    return round(float(values[name].mean() / values["retrained"].mean()), 4)


def with_features_of(model: Bundle, encoded: EncodedEvents, at_ms: int) -> Bundle:
    """The model with the course features of an instant."""
    row_of = {course.course_id: row for row, course in enumerate(encoded.courses)}
    rows = [row_of[course.course_id] for course in model.courses]
    found = course_features(activity_before(encoded, at_ms))[rows]
    features = ((found - model.arrays["feature_mean"]) / model.arrays["feature_scale"]).astype(np.float32)
    return replace(model, arrays={**model.arrays, "features": features})


if __name__ == "__main__":
    main()
