"""The models that `benchmarks.finetuning` compares: fitted on a part of a history, and fine-tuned on what follows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from batch.encoding import EngagementRule, encode
from batch.pipeline import retrain
from batch.preparation import Prepared
from batch.train import fit_hybrid
from benchmarks.log_blocks import blocks
from recsys.catalog import Course
from recsys.events import Interaction
from recsys.model.bundle import Bundle, Draft, load_bundle, write_bundle
from recsys.model.hyperparameters import HyperParameters
from recsys.settings import load_settings
from stream.finetuning.gate import GateRules, Outcome, Verdict
from stream.finetuning.judging import draft_of
from stream.finetuning.moments import Moment
from stream.finetuning.rules import LearningRules
from stream.finetuning.situations import Situations
from stream.finetuning.trainer import Trainer
from stream.finetuning.training_process import TrainerRules, make_trainer

INCREMENTS = 10
VERDICTS = 40
"""In use one comes every few minutes, where something was learned."""


class FineTuned(NamedTuple):
    """What ten increments left behind.

    Attributes:
        published: The model published last.
        in_training: What is in training, and waits for evidence.
        old: Labels that the parent had seen, whose ranks are compared.
        figures: What they took.
    """

    published: Draft
    in_training: Draft
    old: Sequence[Moment]
    figures: dict[str, Any]


def fitted(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, hyperparameters: HyperParameters, *, end: int
) -> tuple[Draft, float]:
    """A hybrid model that has seen the offsets up to `end`, and its CPU seconds."""
    began = time.process_time()
    draft = fit_hybrid(encode(events, courses, rule), hyperparameters, rule).draft
    spent = time.process_time() - began
    data = msgspec.structs.replace(draft.data, source="topic", offsets={"0": (0, end)})  # a topic of one partition
    return replace(draft, data=data), spent


def retrain_cpu_s(prepared: Prepared, hyperparameters: HyperParameters) -> float:
    """CPU seconds of a whole retrain: evaluation beside the baselines, gate, report and bundle are in it."""
    began = time.process_time()
    with TemporaryDirectory() as name:
        settings = load_settings(models_dir=Path(name) / "models", reports_dir=Path(name) / "reports")
        at_ms = int(prepared.events["timestamp"].max()) + 1
        retrain(prepared, settings, hyperparameters, None, at_ms=at_ms)
    return time.process_time() - began


def old_slice(model: Bundle, old: Sequence[Moment]) -> float:
    """Mean NDCG@10 on labels that the parent had seen, by a model with the course features of the parent's end."""
    situations = Situations(model, rank=LearningRules().rank)
    origin = situations.origin
    found = zip(old, situations.of_all(old, origin.item_item, frozen=True), strict=True)
    return float(np.mean([situations.ndcg(each, moment.course, origin.increment) for moment, each in found if each]))


def fine_tuned(parent: Draft, events: pd.DataFrame, first: int, folder: Path, late: Sequence[Course]) -> FineTuned:
    """Learns the events after the first so many, and is judged 40 times.

    Late courses are taken over as in use, with the checkpoints.
    """
    bundle = write_bundle(folder / "models", parent)
    settings = load_settings(finetune_dir=folder / "state", models_dir=folder / "models")
    (folder / "state").mkdir()
    rules = TrainerRules.of(settings)
    gate = GateRules(events=100, moved=0.0, rejections=VERDICTS + 1)
    trainer = make_trainer(replace(rules, learning=replace(LearningRules(), gate=gate)))
    trainer.offer([(course.course_id, course) for course in late])
    trainer.follow(bundle)
    stream = blocks(interactions(events))
    start = [block for block in stream if block.place.stop <= first]
    rest = stream[len(start) :]
    began = time.process_time()
    for block in start:
        trainer.learn(block)
    start_cpu_s = time.process_time() - began
    began = time.process_time()
    verdicts: list[str] = []
    for part in np.array_split(np.arange(len(rest)), VERDICTS):
        for place in part:
            trainer.learn(rest[place])
        verdicts.append(judged(trainer, len(verdicts)))
    spent = time.process_time() - began
    line = trainer.line
    tuned = load_bundle(folder / "models" / line.lineage.published)
    figures: dict[str, Any] = {
        "labels learned": line.learned,
        "new courses with rows": len(line.situations.courses) - len(parent.courses),
        "verdicts": dict(Counter(each.partition(":")[0] for each in verdicts)),
        "decided": [each for each in verdicts if not each.startswith(Outcome.WAITING)],
        "cpu_of_increments_s": round(spent, 2),
        "cpu_s": {"start of the fine-tuner, once": round(start_cpu_s, 1), "ten increments": round(spent, 2)},
    }
    in_training = draft_of(line, Verdict(Outcome.WAITING, ""), at_ms=line.last_ms)
    published = replace(parent, courses=tuned.courses, arrays=dict(tuned.arrays))
    return FineTuned(published, in_training, line.evidence.old, figures)


def judged(trainer: Trainer, number: int) -> str:
    """A verdict, and the publication of what passed."""
    proposal = trainer.propose(1_900_000_000_000 + number)
    if proposal.verdict.outcome in {Outcome.PASSED, Outcome.ROLL_BACK} and proposal.bundle is not None:
        trainer.follow(proposal.bundle)
    return f"{proposal.verdict.outcome}: {proposal.verdict.reason}"


def interactions(events: pd.DataFrame) -> list[Interaction]:
    """The events in the order of their rows, each with an id of its own."""
    columns = (events[name] for name in ("user_id", "course_id", "type", "timestamp", "value"))
    return [
        Interaction(f"e{place}", user, course, kind, int(at_ms), None if pd.isna(value) else float(value))
        for place, (user, course, kind, at_ms, value) in enumerate(zip(*columns, strict=True))
    ]
