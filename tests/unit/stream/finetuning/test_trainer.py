"""What a trainer was told is in its folder: a restart goes on bit for bit, whatever was published meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.errors import FinetuningError
from recsys.model.bundle import load_bundle, load_manifest, write_bundle
from recsys.model.increment import Increment
from stream.finetuning.candidates import broken_arrays
from stream.finetuning.checkpoint import FILE, write_checkpoint
from stream.finetuning.gate import Outcome, Trial
from stream.finetuning.order import FILE as ORDER
from stream.finetuning.trainer import Trainer
from tests.unit.stream.finetuning.drawn import LEARNING, N_COURSES, START_MS, blocks, course_of, events, hybrid

New = Callable[..., Trainer]
NOW = START_MS + 10**9


@pytest.mark.parametrize(("restarts", "live"), [((1,), False), ((4, 5), True), ((3, 9, 10, 11), False)])
def test_a_restart_goes_on_bit_for_bit(
    new_trainer: New, models_dir: Path, tmp_path: Path, restarts: Any, live: bool
) -> None:
    """With live course features also through a refresh of the item-item matrices, and a new course's admission."""
    parent_path = write_bundle(models_dir, hybrid(live=live))
    stream = blocks(events(600, learners=200, new=["new"]))
    whole = new_trainer("undisturbed")
    whole.offer([("new", course_of(42, "new"))])
    whole.follow(parent_path)
    for block in stream:
        whole.learn(block)
    trainer = new_trainer()
    trainer.offer([("new", course_of(42, "new"))])
    standing = trainer.follow(parent_path)
    learned = 0
    for until in (*restarts, len(stream)):
        left = [each for each in stream if each.place.start >= standing.positions.get(0, 0)]
        assert [each.place for each in left[: len(standing.repeated)]] == standing.repeated
        for block in left[: until - (len(stream) - len(left))]:
            trainer.learn(block)
            learned += 1
        if until < len(stream):
            trainer = new_trainer()
            trainer.offer([("new", course_of(42, "new"))])
            standing = trainer.follow(parent_path)
    assert learned > len(stream)
    assert (tmp_path / "state" / FILE).read_bytes() == (tmp_path / "undisturbed" / FILE).read_bytes()
    assert np.array_equal(trainer.line.increment.rows, whole.line.increment.rows)
    assert trainer.line.increment.rows.any()
    assert (trainer.line.variant.item_item.number > 0) == live
    assert bool(trainer.line.increment.bias[N_COURSES:].any()) == live


def test_what_is_replayed_after_a_restart_is_learned_with_the_courses_of_then(
    new_trainer: New, models_dir: Path, tmp_path: Path
) -> None:
    """The catalogue may come late after a restart: what it said before is in the checkpoint."""
    parent_path = write_bundle(models_dir, hybrid(live=True))
    stream = blocks(events(600, learners=200, new=["new"]))
    whole, trainer = new_trainer("undisturbed"), new_trainer()
    for each in (whole, trainer):
        each.offer([("new", course_of(42, "new"))])
        each.follow(parent_path)
    for block in stream:
        whole.learn(block)
    for block in stream[:10]:
        trainer.learn(block)
    again = new_trainer()
    standing = again.follow(parent_path)
    assert standing.repeated
    for block in stream:
        if block.place.start >= standing.positions[0]:
            again.learn(block)
    assert (tmp_path / "state" / FILE).read_bytes() == (tmp_path / "undisturbed" / FILE).read_bytes()


def test_kill_minus_9_at_random_moments_changes_no_bit(tmp_path: Path) -> None:
    """`python -m tests.unit.stream.finetuning.killed DIR 200 1` is the same with more kills."""
    asked = [sys.executable, "-m", "tests.unit.stream.finetuning.killed", str(tmp_path), "5", "7"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same bytes: True" in done.stdout


def written(trainer: Trainer, folder: Path) -> bytes:
    """All that a checkpoint would hold of its line."""
    write_checkpoint(folder, trainer.line.state())
    return (folder / FILE).read_bytes()


def undecided(trainer: Trainer) -> None:
    """Evidence that a verdict decides from, and leaves none: no difference that shows, over events enough."""
    evidence = trainer.line.evidence
    evidence.newest = Trial()
    for number in range(2 * LEARNING.gate.events):
        evidence.newest = evidence.newest.added(0.49 + (0.5 if number % 2 else -0.5), 0.5, number)


@pytest.mark.parametrize("before", [0, 5, 12])
def test_evidence_that_a_verdict_left_behind_does_not_come_back_with_a_restart(
    new_trainer: New, parent_path: Path, tmp_path: Path, before: int
) -> None:
    """Wherever the verdict came, blocks that are learned again find the evidence of before."""
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream[:before]:
        trainer.learn(block)
    undecided(trainer)
    number = trainer._number
    assert trainer.propose(1).verdict.outcome is Outcome.WAITING
    assert trainer.line.evidence.newest.events == 0
    assert trainer._number == number
    for block in stream[before:]:
        trainer.learn(block)
    again = new_trainer(checkpoint_blocks=1000)
    standing = again.follow(parent_path)
    assert standing.repeated == [block.place for block in stream]
    for block in stream:
        again.learn(block)
    assert written(again, tmp_path) == written(trainer, tmp_path)


def test_what_was_rejected_does_not_come_back_with_a_restart(
    new_trainer: New, parent_path: Path, tmp_path: Path
) -> None:
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(parent_path)
    for block in blocks(events(600)):
        trainer.learn(block)
    trainer.line.evidence.newest = Trial()
    for number in range(2 * LEARNING.gate.events):
        trainer.line.evidence.newest = trainer.line.evidence.newest.added(0.0, 0.5, number)
    assert trainer.propose(1).verdict.outcome is Outcome.REJECTED
    again = new_trainer(checkpoint_blocks=1000)
    assert not again.follow(parent_path).repeated
    assert written(again, tmp_path) == written(trainer, tmp_path)


def test_nor_where_a_checkpoint_was_written_just_before(new_trainer: New, parent_path: Path) -> None:
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(parent_path)
    undecided(trainer)
    trainer.dropped()  # which writes one
    assert trainer.propose(1).verdict.outcome is Outcome.WAITING
    again = new_trainer(checkpoint_blocks=1000)
    again.follow(parent_path)
    assert again.line.evidence.newest.events == 0


def test_a_verdict_that_a_crash_tore_while_it_was_written_down_is_none(
    new_trainer: New, parent_path: Path, tmp_path: Path
) -> None:
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream:
        trainer.learn(block)
    expected = trainer.line.evidence.newest
    with (tmp_path / "state" / ORDER).open("ab") as file:
        file.write(b"decide")
    again = new_trainer(checkpoint_blocks=1000)
    again.follow(parent_path)
    for block in stream:
        again.learn(block)
    assert again.line.evidence.newest == expected


@pytest.mark.parametrize("torn", [b"decide", b"0", b"0 60", b"0 600 65"])
def test_what_is_learned_after_a_torn_line_is_read_again(
    new_trainer: New, parent_path: Path, tmp_path: Path, torn: bytes
) -> None:
    """A full disk tears a line, too; what is written next must not become a part of it."""
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream[:-2]:
        trainer.learn(block)
    with (tmp_path / "state" / ORDER).open("ab") as file:
        file.write(torn)
    again = new_trainer(checkpoint_blocks=1000)
    again.follow(parent_path)
    for block in stream[:-1]:
        again.learn(block)
    undecided(again)
    again.propose(1)
    again.learn(stream[-1])
    third = new_trainer(checkpoint_blocks=1000)
    assert third.follow(parent_path).repeated == [block.place for block in stream]
    for block in stream:
        third.learn(block)
    assert third.line.evidence.newest == again.line.evidence.newest


def test_nothing_is_judged_until_all_of_before_a_restart_is_learned_again(
    new_trainer: New, parent_path: Path, tmp_path: Path
) -> None:
    """A verdict in between would decide from a part of the evidence, and be written down behind all of it."""
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream:
        trainer.learn(block)
    expected, order = trainer.line.evidence.newest, (tmp_path / "state" / ORDER).read_bytes()
    again = new_trainer(checkpoint_blocks=1000)
    again.follow(parent_path)
    for block in stream[:-1]:
        again.learn(block)
        kept = again.line.evidence.newest
        undecided(again)
        verdict = again.propose(1).verdict
        assert (verdict.outcome, verdict.reason) == (
            Outcome.WAITING,
            "what was learned before the restart is learned again first",
        )
        again.line.evidence.newest = kept
    again.learn(stream[-1])
    assert again.line.evidence.newest == expected
    assert (tmp_path / "state" / ORDER).read_bytes() == order
    undecided(again)
    assert "not better" in again.propose(1).verdict.reason


def test_fewer_blocks_between_checkpoints_after_a_restart_lose_no_verdict(new_trainer: New, parent_path: Path) -> None:
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream[:6]:
        trainer.learn(block)
    undecided(trainer)
    trainer.propose(1)
    for block in stream[6:]:
        trainer.learn(block)
    again = new_trainer(checkpoint_blocks=4)
    again.follow(parent_path)
    number = again._number
    for block in stream:
        again.learn(block)
    assert again.line.evidence.newest == trainer.line.evidence.newest
    assert again._number == number + 1


def test_a_verdict_keeps_its_place_where_retention_deleted_blocks_meanwhile(
    new_trainer: New, parent_path: Path
) -> None:
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(600))
    trainer.follow(parent_path)
    for block in stream[:6]:
        trainer.learn(block)
    undecided(trainer)
    trainer.propose(1)
    for block in stream[6:-1]:
        trainer.learn(block)
    again = new_trainer(checkpoint_blocks=1000)
    again.follow(parent_path)
    for block in stream[4:6]:
        again.learn(block)
    assert again.line.evidence.newest.events == 0
    for block in stream[6:-2]:  # the last one is no more, either
        again.learn(block)
    again.learn(stream[-1])
    undecided(again)
    assert "not better" in again.propose(1).verdict.reason  # nothing is waited for
    third = new_trainer(checkpoint_blocks=1000)
    assert third.follow(parent_path).repeated == [block.place for block in stream]


@pytest.mark.parametrize(("share", "outcome"), [(0.0, Outcome.REJECTED), (0.5, Outcome.WAITING)])
def test_a_new_course_waits_for_a_verdict_at_most_where_checkpoints_are_rare(
    new_trainer: New, models_dir: Path, share: float, outcome: Outcome
) -> None:
    trainer, stream = new_trainer(checkpoint_blocks=1000), blocks(events(350, learners=100, new=["new"]))
    trainer.offer([("new", course_of(42, "new"))])
    trainer.follow(write_bundle(models_dir, hybrid(live=True)))
    for block in stream[:-1]:
        trainer.learn(block)
    trainer.line.evidence.newest = Trial()
    for number in range(2 * LEARNING.gate.events if outcome is Outcome.REJECTED else 1):
        trainer.line.evidence.newest = trainer.line.evidence.newest.added(share, 0.5, number)
    assert trainer.propose(1).verdict.outcome is outcome
    assert len(trainer.line.situations.courses) == N_COURSES + 1
    assert trainer.learn(stream[-1]).counts["rows_admitted"] == 1


def test_what_is_published_has_the_courses_that_were_judged(new_trainer: New, models_dir: Path) -> None:
    """A new course comes with the checkpoint of the candidate, and with the next candidate."""
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(write_bundle(models_dir, hybrid(live=True)))
    trainer.offer([("new", course_of(42, "new"))])
    for block in blocks(events(1200, learners=400, new=["new"])):
        trainer.learn(block)
    number = trainer._number
    trainer.line.evidence.newest = Trial()
    for at in range(2 * LEARNING.gate.events):
        trainer.line.evidence.newest = trainer.line.evidence.newest.added(0.6 + at % 2 / 10, 0.5, at)
    proposal = trainer.propose(NOW)
    assert proposal.bundle is not None, proposal.verdict
    assert len(load_bundle(proposal.bundle).courses) == N_COURSES
    assert len(trainer.line.situations.courses) == N_COURSES + 1
    assert trainer._number == number + 1


def test_a_checkpoint_that_was_changed_is_refused_by_name(new_trainer: New, parent_path: Path, tmp_path: Path) -> None:
    new_trainer().follow(parent_path)
    file = tmp_path / "state" / FILE
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(FinetuningError, match=r"checkpoint .*checkpoint was changed .* move it away"):
        new_trainer().follow(parent_path)


def test_a_checkpoint_of_another_release_is_refused_with_the_way_out(
    new_trainer: New, parent_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    write_checkpoint(tmp_path / "state", {"number": 3, "line": {"parent": parent_path.name}})
    with pytest.raises(FinetuningError, match="another release; move the folder away"):
        new_trainer().follow(parent_path)


def passed(trainer: Trainer, *, seed: int = 0, first: int = 0) -> Path:
    for block in blocks(events(1200, seed=seed, learners=400), first=first):
        trainer.learn(block)
    proposal = trainer.propose(NOW + first)
    assert proposal.verdict.outcome is Outcome.PASSED, proposal.verdict
    assert proposal.bundle is not None
    return proposal.bundle


def test_an_increment_names_the_retrain_it_grew_from_and_its_verdict(new_trainer: New, parent_path: Path) -> None:
    trainer = new_trainer()
    trainer.follow(parent_path)
    first = passed(trainer)
    manifest = load_manifest(first)
    assert manifest.parent == parent_path.name
    assert manifest.metrics["model"] == "increment"
    assert manifest.metrics["replaces"] == parent_path.name
    assert "each before it was learned" in manifest.metrics["headline"]
    assert 0.2 <= manifest.metrics["gate"]["agreement@10"] < 1
    assert f"agreement@10 {manifest.metrics['gate']['agreement@10']:.2f}" in manifest.metrics["headline"]
    assert manifest.data.offsets == {"0": (0, 1200)}
    assert trainer.follow(first).published == first.name
    second = passed(trainer, seed=1, first=1200)
    assert load_manifest(second).parent == parent_path.name
    assert load_manifest(second).metrics["replaces"] == first.name


def test_a_crash_between_publication_and_checkpoint_loses_nothing(new_trainer: New, parent_path: Path) -> None:
    trainer = new_trainer()
    trainer.follow(parent_path)
    bundle = passed(trainer)
    increment = trainer.line.increment
    again = new_trainer()
    standing = again.follow(bundle)  # what the pointer says after the crash
    assert (standing.parent, standing.published, standing.proposed) == (parent_path.name, bundle.name, None)
    assert np.array_equal(again.line.increment.bias, increment.bias)


def test_what_was_published_without_another_checkpoint_is_known_after_a_restart(
    new_trainer: New, parent_path: Path, tmp_path: Path
) -> None:
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(parent_path)
    bundle = passed(trainer)
    number = trainer._number
    trainer.follow(bundle)
    assert trainer._number == number
    after = blocks(events(400, seed=1, learners=400), first=1200)
    for block in after:
        trainer.learn(block)
    again = new_trainer(checkpoint_blocks=1000)
    standing = again.follow(bundle)
    assert (standing.published, standing.proposed) == (bundle.name, None)
    assert standing.repeated == [block.place for block in after]
    for block in after:
        again.learn(block)
    assert written(again, tmp_path) == written(trainer, tmp_path)
    rolled_back = new_trainer(checkpoint_blocks=1000)
    assert rolled_back.follow(parent_path).published == parent_path.name
    assert rolled_back.line.lineage.rejections == 1


def test_what_somebody_published_after_more_was_learned_is_known_after_every_restart(
    new_trainer: New, parent_path: Path
) -> None:
    """Redis moved the pointer and its answer was lost, say; the fine-tuner ended before it saw the pointer."""
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(parent_path)
    bundle = passed(trainer)
    after = blocks(events(400, seed=1, learners=400), first=1200)
    for block in after:
        trainer.learn(block)
    for _ in range(3):
        again = new_trainer(checkpoint_blocks=1000)
        standing = again.follow(bundle)
        assert (standing.published, standing.proposed) == (bundle.name, None)
        for block in after:
            again.learn(block)
        assert again.line.lineage.before == parent_path.name


def test_a_candidate_that_nobody_published_is_dropped_at_the_next(new_trainer: New, parent_path: Path) -> None:
    trainer = new_trainer()
    trainer.follow(parent_path)
    passed(trainer)
    again = new_trainer()
    again.follow(parent_path)
    assert again.propose(NOW + 5).bundle is not None
    assert again.line.lineage.published == parent_path.name


def test_a_retrain_resets_the_line_and_keeps_learners_and_offsets(
    new_trainer: New, parent_path: Path, models_dir: Path
) -> None:
    trainer = new_trainer()
    trainer.follow(parent_path)
    passed(trainer)
    known, positions = len(trainer.line.learners), dict(trainer.line.positions)
    retrain = write_bundle(models_dir, replace(hybrid(), created_at_ms=NOW))
    for each in (trainer, new_trainer()):
        standing = each.follow(retrain)
        assert (standing.parent, standing.published, standing.positions) == (retrain.name, retrain.name, positions)
        assert len(each.line.learners) == known
        assert not each.line.increment.bias.any()


def test_a_rolled_back_increment_is_taken_back(new_trainer: New, parent_path: Path) -> None:
    trainer = new_trainer()
    trainer.follow(parent_path)
    trainer.follow(passed(trainer))
    standing = trainer.follow(parent_path)  # `recsys models rollback`
    assert standing.published == parent_path.name
    assert not trainer.line.increment.bias.any()
    assert trainer.line.lineage.rejections == 1


def test_an_increment_that_turns_out_worse_is_rolled_back(new_trainer: New, parent_path: Path, tmp_path: Path) -> None:
    trainer = new_trainer(checkpoint_blocks=1000)
    trainer.follow(parent_path)
    trainer.follow(passed(trainer))
    before = trainer.line.lineage.published
    good = trainer.line.variant  # as if the one before had been good, and this one had gone wrong unseen
    wrong = Increment(*(-each for each in good.increment))
    lineage = trainer.line.lineage
    lineage.of_before, lineage.of_published = good, good._replace(increment=wrong)
    for block in blocks(events(600, seed=3, learners=900), first=1200):
        trainer.learn(block)
    proposal = trainer.propose(NOW + 1)
    assert proposal.verdict.outcome is Outcome.ROLL_BACK, proposal.verdict
    assert (proposal.bundle, proposal.version_before) == (parent_path, before)
    again = new_trainer(checkpoint_blocks=1000)  # it ended before it knew that the pointer had moved
    for each in (again, trainer):
        assert each.follow(parent_path).published == parent_path.name
        assert each.line.lineage.rejections == 1
    assert written(again, tmp_path) == written(trainer, tmp_path)


@pytest.mark.parametrize("name", ["course_bias", "course_vectors"])
def test_a_broken_candidate_is_named(parent_path: Path, name: str) -> None:
    bundle = load_bundle(parent_path)
    arrays = dict(bundle.arrays)
    arrays[name] = np.full_like(arrays[name], np.nan)
    assert broken_arrays(replace(bundle, arrays=arrays)) == f"numbers that are none in {name}"
    assert broken_arrays(replace(bundle, arrays={**bundle.arrays, name: arrays[name][:-1] * 0 + 1})) != ""
    assert broken_arrays(bundle) == ""
