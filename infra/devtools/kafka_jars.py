"""The jars of Kafka, fetched once by Maven into a cache folder of the user.

The folder is `~/.cache/recsys/kafka-<version>-<digest of the pom>`, never the repository.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from recsys.errors import ServiceUnavailable

_POM = Path(__file__).parents[1] / "kafka" / "pom.xml"
_FETCH_SECONDS = 600.0


def kafka_version() -> str:
    """The version `infra/kafka/pom.xml` names."""
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", _POM.read_text())
    if found is None:
        raise ServiceUnavailable(f"{_POM} names no kafka.version")
    return found[1]


def jars_folder() -> Path:
    """Where the jars of this version are, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]
    return cache / "recsys" / f"kafka-{kafka_version()}-{digest}"


def missing_programs() -> list[str]:
    """What this machine lacks to run Kafka; empty when it can."""
    wanted = ["java"] if jars_folder().is_dir() else ["java", "mvn"]
    return [program for program in wanted if shutil.which(program) is None]


def fetch_jars() -> Path:
    """The folder of the jars, fetched by Maven if this machine has not got them yet (about 55 MB).

    Raises:
        ServiceUnavailable: Java or Maven is missing, or the fetch failed.
    """
    missing = missing_programs()
    if missing:
        raise ServiceUnavailable(
            f"a local Kafka needs java (17 or newer) and mvn on the PATH: there is no {' and no '.join(missing)}"
        )
    folder = jars_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fetched = Path(scratch) / "jars"
        _run_maven(fetched)
        try:
            fetched.rename(folder)
        except OSError:  # somebody else fetched them meanwhile
            if not folder.is_dir():
                raise
    return folder


def _run_maven(output: Path) -> None:
    command = ["mvn", "-B", "-q", "-ntp", "-f", str(_POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={output}"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and our own paths
            command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailable(f"Maven had not fetched Kafka after {_FETCH_SECONDS:g} s") from None
    if done.returncode != 0 or not any(output.glob("*.jar")):
        said = (done.stdout + done.stderr).strip().splitlines()
        raise ServiceUnavailable(f"Maven could not fetch Kafka: {' '.join(said[:3])}")
