"""T20: kill -9 while a model bundle is written or published, and a full disk: the current model always loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from recsys.errors import BundleError
from recsys.keys import KeySpace
from recsys.model.publications import read_publications
from recsys.model.scorer import Scorer
from tests.faults.findings import Findings, case
from tests.faults.stage import Stage

KEYS = KeySpace()

BUNDLE_ERROR = 5
FULL_BYTES = 1_000_000
START_S = 60.0
LONGEST_LIFE_S = 0.6
IN_PLACE = "bundle-in-place"


@case("T20", "kill -9 in write_bundle and publish; disk full")
def interrupted_writes(stage: Stage) -> Findings:
    findings = Findings()
    models = stage.folder / "models"
    models.mkdir()
    options = ["--in-place"] if stage.mutant == IN_PLACE else []
    _run_to_end(_writer(stage, models, "--once"))
    killed, partial, versions = stage.times(50, least=8), 0, set[str]()
    for _ in range(killed):
        writer = _writer(stage, models, *options)
        assert writer.stdout is not None
        writer.stdout.readline()
        stage.wait(stage.rng.uniform(0.0, LONGEST_LIFE_S))
        writer.kill()
        writer.communicate()
        partial += any(folder.name.startswith(".writing") for folder in models.iterdir())
        versions.add(_check(stage, models, findings))
        _sweep(models)
    findings.figures |= {"kills": killed, "in_the_middle_of_a_write": partial, "versions_seen": len(versions)}
    before = _check(stage, models, findings)
    findings.figures["full_disk"] = _fill_the_disk(stage, models, findings)
    findings.expect(_check(stage, models, findings) == before, "expected the pointer to stand where the disk was full")
    return findings


def _writer(stage: Stage, models: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.bundle_writer", str(models), stage.redis.url, *options]
    return subprocess.Popen(command, env=stage.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run_to_end(writer: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = writer.communicate(timeout=START_S)
    return writer.returncode, said


def _check(stage: Stage, models: Path, findings: Findings) -> str:
    """The current model and every bundle anybody can see must load; returns the current version."""
    raw: Any = stage.client.get(KEYS.model_current)
    pointer = json.loads(raw)
    folders = {Path(pointer["path"]), *(file for file in models.iterdir() if file.is_dir() and file.name[0] != ".")}
    noted = read_publications(models).current  # what an API started without Redis serves; raises if it cannot be read
    if noted is None:
        findings.problems.append("no publication is noted beside the bundles")
    else:
        folders.add(models / noted.version)
    for folder in folders:
        try:
            Scorer.load(folder)
        except BundleError as error:
            findings.verdict.differs(f"expected a loadable bundle, received: {error}")
            if folder.name == pointer["version"]:
                findings.verdict.lost += 1
    return str(pointer["version"])


def _sweep(models: Path) -> None:
    """Takes away what a killed writer left, so that the next look counts anew."""
    for folder in models.glob(".*"):
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def _fill_the_disk(stage: Stage, models: Path, findings: Findings) -> str:
    """Has a bundle written where it has no room: a small tmpfs, or a limit on file sizes where none can be mounted."""
    full = stage.folder / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "tmpfs", str(full)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        options = [] if mounted else ["--file-limit", str(FULL_BYTES // 10)]
        status, said = _run_to_end(_writer(stage, full if mounted else models, "--once", *options))
        left = [folder.name for folder in full.iterdir()]
    finally:
        if mounted:
            subprocess.run(["umount", str(full)], check=True)
    findings.expect(
        status == BUNDLE_ERROR and "expected to write the bundle" in said,
        f"expected status {BUNDLE_ERROR} and a message, received {status}: {said[-300:]}",
    )
    findings.expect(not left, f"expected nothing left on the full disk, received {left}")
    return "tmpfs" if mounted else "file limit"
