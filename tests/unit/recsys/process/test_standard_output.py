"""Standard output that is no UTF-8, is closed early, is full, or is not there: of real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "recsys.cli"]
# What every command may do with text, and what a client's `except OSError` would make of a closed pipe.
PROGRAM = """
import sys
import click
from rich.console import Console
from recsys import cli
from recsys.errors import ServiceUnavailable

@cli.recsys.command("speak")
@click.argument("lines", type=int)
def speak(lines):
    try:
        for _ in range(lines):
            print('{"title": "Caf\\u00e9 \\u6f22 \\U0001f600 \\udcff"}')
            click.echo(b"bytes")
            click.echo("echo \\u00e9")
            Console().print("rich \\u00e9")
    except OSError as error:
        raise ServiceUnavailable(f"Kafka: {error!r}")

cli.COMMANDS["speak"] = ("x:y", "Speak.")
cli._LazyGroup.get_command = lambda self, ctx, name: speak
cli.main(["speak", sys.argv[1]])
"""


def spoken(shell: str, lines: int = 1, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {lines} {shell}', sys.executable, PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "C"},
        {},
    ],
    ids=str,
)
def test_what_does_not_fit_the_encoding_is_escaped_as_in_json(environment: dict[str, str]) -> None:
    done = spoken("", 1, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    first, second, *_ = done.stdout.splitlines()
    encoding = {"latin-1": "latin-1", "cp1252": "cp1252"}.get(environment.get("PYTHONIOENCODING", ""), "utf-8")
    title = json.loads(first.decode(encoding, "surrogateescape"))["title"]
    assert title == "Café 漢 \U0001f600 \udcff"
    assert second == b"bytes"


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    done = spoken("| head -n 1", lines=100_000)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_was_never_there_too() -> None:
    """What little there is is written at the end of the process, where Python would tell of an ignored exception."""
    done = spoken("| true", lines=3)
    assert (done.returncode, done.stderr) in {(141, b""), (0, b"")}


def test_a_full_disk_is_one_line() -> None:
    done = spoken("> /dev/full")
    assert done.returncode == 2
    assert done.stderr == b"recsys: cannot write to standard output: No space left on device\n"


def test_a_closed_standard_output_is_no_obstacle() -> None:
    done = spoken(">&-")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"], ["settings", "--markdown"], ["--help"]])
def test_real_commands_speak_ascii(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"RECSYS_" in done.stdout


def test_a_command_whose_modules_are_not_installed_is_one_line() -> None:
    """As in an image that holds no TensorFlow, or no developer's tools."""
    program = """
import sys
sys.modules["pandas"] = None
from recsys.cli import main
main(["simulate", "--out", "x"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "recsys: `recsys simulate` is not part of this installation: there is no module pandas"
    )
    assert done.stderr.count("\n") == 1


def test_a_module_that_a_running_command_lacks_is_one_line() -> None:
    """`recsys stream` imports little before its signal handlers are set, and the rest once it runs."""
    program = """
import sys
sys.modules["selectolax"] = None
from recsys.cli import main
main(["stream"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "recsys: this installation lacks a part of the command: there is no module selectolax"
    )
    assert done.stderr.count("\n") == 1


def test_a_library_of_the_system_that_a_module_lacks_is_one_line(tmp_path: Path) -> None:
    """As libgomp.so.1 in an image: the module is there and cannot be loaded."""
    (tmp_path / "selectolax.so").write_bytes(b"\x7fELF that is none")
    program = """
import sys
from recsys.cli import main
main(["stream"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("recsys: this installation lacks a part of the command: selectolax: ")
    assert done.stderr.count("\n") == 1


def test_a_module_of_our_own_that_is_not_there_is_a_traceback() -> None:
    """It is a fault of ours and not of the installation."""
    program = """
import sys
sys.modules["stream.engagement.process"] = None
from recsys.cli import main
main(["stream"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
