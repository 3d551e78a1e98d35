"""Kafka's classes as the JVM keeps them once they are parsed: a start with them takes half the CPU of one without.

A dynamic archive of class data sharing (JEP 350): a process writes it as it ends, later ones map it into memory. It
holds for one set of jars and one Java, so its name has both.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from recsys.errors import ServiceUnavailable


def archive_path(jars: Path) -> Path:
    """Where the archive of these jars is, or will be, for the `java` on the PATH."""
    java = Path(shutil.which("java") or "java").resolve()
    found = java.stat()
    digest = hashlib.sha256(f"{java} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:8]
    return jars.parent / f"{jars.name}-classes-{digest}.jsa"


def archive_options(archive: Path, make: Callable[[Path], None]) -> list[str]:
    """The JVM's options for a start with the archive; none where there is none.

    The first to ask makes it. Who asks meanwhile starts without it. A Java that writes none is asked once: an empty
    file says so.

    Args:
        archive: See `archive_path`.
        make: Runs a process that writes the archive to a path as it ends; a `ServiceUnavailable` of it is passed over.
    """
    if not archive.exists():
        with archive.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return []
            if not archive.exists():
                _make(archive, make)
    return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() and archive.stat().st_size else []


def _make(archive: Path, make: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        made = Path(scratch) / archive.name
        try:
            make(made)
        except ServiceUnavailable:
            return
        made.touch()
        made.rename(archive)
