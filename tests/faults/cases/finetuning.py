"""T35: the fine-tuner with a training step at fault, killed while it learns; its increments flipped and rolled back."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from recsys.errors import BundleError
from recsys.keys import KeySpace
from recsys.model.bundle import Draft, load_bundle, write_bundle
from recsys.model.publishing import sync_copies
from recsys.model.scorer import Scorer
from recsys.online_store import ModelPointer
from recsys.online_store.redis.store import RedisStore
from stream.finetuning.gate import Outcome
from tests.faults.cases.publishing import list_versions, on_redis, version_at
from tests.faults.faulty_finetuner import ALWAYS, NOW_AND_THEN, TURNED
from tests.faults.findings import Findings, case, conclude
from tests.faults.finetuning import CHECKPOINT_BLOCKS, COURSES, Checkpoint, Finetuner, not_finite, publish_hybrid
from tests.faults.finetuning import unaccounted as unaccounted_blocks
from tests.faults.serving import Api
from tests.faults.stage import Stage

KEYS = KeySpace()
RATE, EVENTS = 300.0, 30_000
IN_A_ROW = 5
"""Steps not taken in a row after which the increment goes back to what is published."""

WITHIN_S = 240.0
"""A wait that is no measure: the gate takes as long as it needs to see that an increment is better."""

RESTART_S = 90.0
FOLLOWED_S = 10.0
LONGEST_LIFE_S = 6.0
BUNDLE_ERROR = 5
LEARNERS = [f"u{number}" for number in range(20, 220, 20)]
FLIPPED = "course_bias.npy"
"""A bundle with a flipped bit in it would load and rank, if nobody verified it."""


@case("T35", "the fine-tuner: steps at fault, kill -9, a flipped bit, a rollback")
def finetuning(stage: Stage) -> Findings:
    findings = Findings()
    parent = publish_hybrid(stage)
    stage.fleet.add()
    stage.start_load(rate=RATE, events=EVENTS, courses=COURSES)
    with Api(stage) as api, Finetuner(stage) as finetuner:
        _wait_for_another(stage, finetuner, parent)
        _steps_that_are_not_finite(stage, finetuner, findings)
        _a_candidate_that_is_worse(stage, finetuner, api, findings)
        kept = _kills(stage, finetuner, findings)
        findings.expect((status := finetuner.stop()) == 0, f"expected a stop with 0, received {status}")
        kept.append(finetuner.checkpoint())
        findings.problems += unaccounted_blocks(finetuner.lines(), kept)
        findings.figures["blocks"] = sum(1 for line in finetuner.lines() if line["what"] == "done")
        withdrawn = _roll_back(stage, api, findings)
        _a_flipped_bit(stage, api, findings, withdrawn)
        _goes_on(stage, finetuner, findings)
        findings.problems += api.problems()
    return conclude(stage, findings)


def _pointer(stage: Stage) -> str:
    return version_at(stage, KEYS.model_current)


def _wait_for_another(stage: Stage, finetuner: Finetuner, version: str) -> float:
    """Waits until an increment is published that replaces a version."""

    def published() -> bool:
        finetuner.lines()  # raises where it ended
        return _pointer(stage) != version

    return stage.wait_until(published, within_s=WITHIN_S, what="a published increment")


def _check_checkpoint(finetuner: Finetuner, findings: Findings) -> Checkpoint:
    found = finetuner.checkpoint()
    broken = list(not_finite(found.state))
    findings.expect(not broken, f"expected a checkpoint of finite numbers, received others in {broken[:5]}")
    return found


def _steps_that_are_not_finite(stage: Stage, finetuner: Finetuner, findings: Findings) -> None:
    """First some in between others, then so many in a row that the line goes back to what is published."""
    least, learned, before = stage.times(15, least=6), finetuner.learned(), finetuner.faults()
    set_back, spikes = finetuner.counted("set_back"), finetuner.counted("stopped_spike")

    def told(count: int) -> bool:
        return finetuner.faults() - before >= count

    finetuner.fault(NOW_AND_THEN)
    stage.wait_until(lambda: told(least), within_s=WITHIN_S, what=f"{least} steps that are not finite")
    findings.expect(finetuner.learned() > learned, "expected the steps in between to be taken, received none")
    if finetuner.counted("stopped_spike") == spikes:
        findings.expect(finetuner.counted("set_back") == set_back, "set back by steps that did not follow each other")
    _check_checkpoint(finetuner, findings)
    set_back, alone = finetuner.counted("set_back"), finetuner.faults()
    finetuner.fault(ALWAYS)
    row = IN_A_ROW + 2 * CHECKPOINT_BLOCKS + 2
    stage.wait_until(
        lambda: finetuner.faults() >= alone + row, within_s=WITHIN_S, what=f"{row} steps in a row that are not finite"
    )
    found = _check_checkpoint(finetuner, findings)
    line = found.state["line"]
    back = zip(line["steps"]["increment"], line["lineage"]["increments"][0], strict=True)
    findings.expect(all(np.array_equal(*each) for each in back), "the checkpoint's increment is not what is published")
    at = finetuner.learned()
    finetuner.fault()
    findings.recovered(
        stage.wait_until(lambda: finetuner.learned() > at, within_s=WITHIN_S, what="steps that are taken"), RESTART_S
    )
    faults, backs = finetuner.faults() - before, finetuner.counted("set_back") - set_back
    _expect_counted(stage, finetuner, findings, faults)
    findings.expect(backs >= row // IN_A_ROW, f"expected {row // IN_A_ROW} times back or more, received {backs}")
    findings.figures |= {"not_finite": faults, "set_back": backs}


def _expect_counted(stage: Stage, finetuner: Finetuner, findings: Findings, faults: int) -> None:
    """As many steps were not taken, because they were not finite, as were at fault."""
    with suppress(TimeoutError):
        stage.wait_until(lambda: finetuner.counted("stopped_not_finite") >= faults, within_s=10.0, what="its counts")
    counted = finetuner.counted("stopped_not_finite")
    findings.expect(counted == faults, f"expected {faults} steps not taken as not finite, received {counted}")


def _a_candidate_that_is_worse(stage: Stage, finetuner: Finetuner, api: Api, findings: Findings) -> None:
    """What steps learned is turned round, and their losses do not show it: the gate alone is left to see it."""
    before, others = len(finetuner.lines()), finetuner.faults()
    finetuner.fault(TURNED)
    stage.wait_until(lambda: finetuner.faults() > others, within_s=WITHIN_S, what="an increment that is turned round")
    expected, bundles = _pointer(stage), _bundles(stage)
    findings.problems += api.problems()
    api.forget()
    began = time.monotonic()
    seen = set[str]()

    def rejected() -> bool:
        seen.add(_pointer(stage))
        if len(seen) > 1:
            return True
        return finetuner.outcomes(since=before)[Outcome.REJECTED] > 0 or time.monotonic() - began > WITHIN_S / 2

    stage.wait_until(rejected, within_s=WITHIN_S, what="a verdict")
    stage.wait(2.0)  # what was wrongly published would be followed by now
    seen.add(_pointer(stage))
    lines = finetuner.lines()[before:]
    turned_at = next(place for place, line in enumerate(lines) if line["what"] == "fault")
    reasons = [
        line["reason"]
        for line in lines[turned_at:]
        if line["what"] == "verdict" and line["outcome"] == Outcome.REJECTED
    ]
    findings.expect(
        bool(reasons), "expected the gate to reject an increment that is turned round, received no rejection"
    )
    findings.expect(seen == {expected}, f"expected the pointer to stay at {expected}, received {seen}")
    new = _bundles(stage) - bundles
    findings.expect(not new, f"expected no bundle of it, received {new}")
    answered = sum(api.versions.values())
    strange = {version: count for version, count in api.versions.items() if version not in bundles}
    findings.expect(answered > 0, "no answers while an increment was turned round")
    findings.expect(not strange, f"expected no answer by it, received {strange}")
    finetuner.fault()
    findings.figures |= {
        "rejected_after_s": round(time.monotonic() - began, 1),
        "rejected_as": reasons[0].partition(":")[0] if reasons else "",
        "answers_meanwhile": answered,
    }
    findings.figures["published_again_s"] = round(_wait_for_another(stage, finetuner, expected), 1)


def _bundles(stage: Stage) -> set[str]:
    return {each.name for each in (stage.folder / "models").iterdir() if each.is_dir() and each.name[0] != "."}


def _kills(stage: Stage, finetuner: Finetuner, findings: Findings) -> list[Checkpoint]:
    """Kills it and all its processes while it learns; returns the checkpoint after each kill."""
    kept: list[Checkpoint] = []
    kills, slowest, relearned = stage.times(8, least=2), 0.0, 0
    for _ in range(kills):
        stage.wait(stage.rng.uniform(0.0, LONGEST_LIFE_S))
        finetuner.kill()
        kept.append(_check_checkpoint(finetuner, findings))
        for name in {_pointer(stage), *_bundles(stage)}:
            Scorer.load(stage.folder / "models" / name)  # raises, and so ends the case
        after = len(finetuner.lines())
        began = time.monotonic()
        finetuner.start()

        def goes_on(after: int = after) -> bool:
            """Whether a block was learned that no process learned before."""
            known = {tuple(line["place"]) for line in finetuner.lines()[:after] if line["what"] == "done"}
            return any(
                line["what"] == "done" and tuple(line["place"]) not in known for line in finetuner.lines()[after:]
            )

        stage.wait_until(goes_on, within_s=WITHIN_S, what="a fine-tuner that goes on")
        slowest = max(slowest, time.monotonic() - began)
        relearned += _relearned(finetuner, after)
    findings.recovered(slowest, RESTART_S)
    findings.figures |= {"kills": kills, "learned_again": relearned, "restart_s": round(slowest, 1)}
    return kept


def _relearned(finetuner: Finetuner, after: int) -> int:
    """Blocks of a process that the one before had begun already, after its last checkpoint."""
    known = {tuple(line["place"]) for line in finetuner.lines()[:after] if line["what"] == "begin"}
    return sum(line["what"] == "begin" and tuple(line["place"]) in known for line in finetuner.lines()[after:])


def _recsys(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "recsys.cli", *arguments]
    return subprocess.Popen(command, env=stage.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answers(api: Api) -> dict[str, str]:
    """Learner → version of the model in their answer."""
    found = {}
    for learner in LEARNERS:
        answer = api.ask(learner)
        if answer is not None and answer[0] == 200 and answer[1]["recommendations"]:
            found[learner] = str(answer[1]["model_version"])
    return found


def _all_of(api: Api, version: str) -> bool:
    answers = _answers(api)
    return len(answers) == len(LEARNERS) and set(answers.values()) == {version}


def _roll_back(stage: Stage, api: Api, findings: Findings) -> str:
    """`recsys models rollback`, as its operator gives it; returns the version that it withdrew."""
    withdrawn, before = _pointer(stage), version_at(stage, KEYS.model_previous)
    stage.wait_until(lambda: _all_of(api, withdrawn), within_s=WITHIN_S, what="answers of the last increment")
    command, began = _recsys(stage, "models", "rollback"), time.monotonic()
    followed = stage.wait_until(lambda: _all_of(api, before), within_s=60.0, what="answers of the model before")
    _, said = command.communicate(timeout=60.0)
    took = time.monotonic() - began
    findings.expect(command.returncode == 0, f"expected a rollback, received {command.returncode}: {said[-300:]}")
    findings.expect(
        followed <= FOLLOWED_S, f"expected other answers within {FOLLOWED_S:g} s, received {followed:.1f} s"
    )
    findings.figures |= {
        "rolled_back_s": round(followed, 1),
        "rollback_ended_s": round(took, 1),
    }
    return withdrawn


def _copy_of(increment: Path) -> Path:
    """The same increment as another version, of which nobody has a list: an answer of it came from its files."""
    found = load_bundle(increment)
    manifest = found.manifest
    copy = Draft(
        parent=manifest.parent,
        created_at_ms=manifest.created_at_ms + 1000,
        data=manifest.data,
        settings=manifest.settings,
        engagement=manifest.engagement,
        metrics=manifest.metrics,
        users=found.users,
        courses=found.courses,
        arrays=found.arrays,
        documents=found.documents,
        blobs=found.blobs,
    )
    return write_bundle(increment.parent, copy)


def _a_flipped_bit(stage: Stage, api: Api, findings: Findings, increment: str) -> None:
    """No file of a bundle may have a flipped bit, be it published by its operator or named by the pointer."""
    folder, current = _copy_of(stage.folder / "models" / increment), _pointer(stage)
    files = sorted(each for each in folder.iterdir() if each.is_file())
    loaded = []
    for file in files:
        whole = _flip(stage, file)
        try:
            load_bundle(folder)
            loaded.append(file.name)
        except BundleError:
            pass
        file.write_bytes(whole)
    findings.expect(not loaded, f"expected no bundle with a flipped bit to load, received {loaded}")
    load_bundle(folder)  # raises where it is not what it was
    for file in stage.rng.sample(files, stage.times(3)):
        whole = _flip(stage, file)
        _expect_refusal(stage, findings, folder.name, current)
        file.write_bytes(whole)
    _flip(stage, folder / FLIPPED)
    _expect_refusal(stage, findings, folder.name, current)
    findings.figures |= {"files_flipped": len(files)}
    _named_by_the_pointer(stage, api, findings, folder, current)


def _flip(stage: Stage, file: Path) -> bytes:
    """Flips a bit of a file; returns what it held. In an array it is one of a number, not of its form."""
    whole = file.read_bytes()
    flipped = bytearray(whole)
    least = len(whole) - len(whole) // 4 if file.suffix == ".npy" else 0
    flipped[stage.rng.randrange(min(least, len(whole) - 1), len(whole))] ^= 1 << stage.rng.randrange(8)
    file.write_bytes(bytes(flipped))
    return whole


def _expect_refusal(stage: Stage, findings: Findings, version: str, current: str) -> None:
    command = _recsys(stage, "models", "rollback", version, "--never-published")
    _, said = command.communicate(timeout=60.0)
    refused = command.returncode == BUNDLE_ERROR and version in said
    findings.expect(
        refused, f"expected status {BUNDLE_ERROR} and a reason, received {command.returncode}: {said[-300:]}"
    )
    findings.expect((now := _pointer(stage)) == current, f"expected the pointer to stay at {current}, received {now}")


def _named_by_the_pointer(stage: Stage, api: Api, findings: Findings, folder: Path, current: str) -> None:
    """The pointer names a bundle that was damaged after it was verified."""

    async def point(store: RedisStore) -> None:
        found = await store.model()
        assert found is not None
        pointer = ModelPointer(folder.name, str(folder), max(time.time_ns() // 1_000_000, found.published_at_ms + 1))
        assert await store.publish_model(pointer, replacing=found, over_unreadable=False)
        await sync_copies(store)

    on_redis(stage, point)
    findings.problems += api.problems()
    api.forget()
    moved = stage.fences_move()
    until = time.monotonic() + FOLLOWED_S
    asked = 0
    strange = set[str]()
    while time.monotonic() < until:
        stage.wait(0.2)
        answers = _answers(api)
        asked += len(answers)
        findings.expect(len(answers) == len(LEARNERS), f"expected {len(LEARNERS)} answers, received {len(answers)}")
        strange |= set(answers.values()) - {current}
    counted = dict(api.versions)
    stage.wait_until(moved, within_s=60.0, what="a worker that goes on")
    lists = list_versions(stage)
    findings.expect(
        set(counted) == {current} and not strange, f"expected answers of {current}, received {counted}, {strange}"
    )
    findings.expect(set(lists) <= {current}, f"expected no list of another model, received {dict(lists)}")
    findings.expect(
        "model_not_loaded" in stage.fleet.workers[0].said, "the worker does not say that it loaded no model"
    )
    findings.figures |= {"answers_of_the_model_before": asked + sum(counted.values())}
    began = time.monotonic()
    command = _recsys(stage, "models", "rollback", current)
    _, said = command.communicate(timeout=60.0)
    findings.expect(command.returncode == 0, f"expected a rollback, received {command.returncode}: {said[-300:]}")
    stage.wait_until(lambda: list_versions(stage)[current] > 0, within_s=60.0, what="lists of the model before")
    findings.figures["pointer_mended_s"] = round(time.monotonic() - began, 1)


def _goes_on(stage: Stage, finetuner: Finetuner, findings: Findings) -> None:
    """After all that it starts again, learns, and ends in order."""
    learned = finetuner.learned()
    finetuner.start()
    stage.wait_until(lambda: finetuner.learned() > learned, within_s=WITHIN_S, what="a fine-tuner that learns")
    _check_checkpoint(finetuner, findings)
    findings.expect((status := finetuner.stop()) == 0, f"expected a stop with 0, received {status}")
