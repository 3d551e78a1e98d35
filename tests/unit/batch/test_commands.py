"""What `recsys retrain` and `recsys evaluate` write, and what they say on standard error: nothing of TensorFlow's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from click import Command
from click.testing import CliRunner

from batch import commands
from batch.commands import evaluate, retrain
from recsys.catalog import Course
from recsys.errors import ConfigurationError, InputError
from recsys.files import course_frame, write_courses, write_interactions
from recsys.model.hyperparameters import HyperParameters
from tests.doubles.two_subjects import half_bad

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ([], "neither"),
        (["--interactions", "i.csv"], "--interactions"),
        (["--from-topic", "--interactions", "i.csv"], "--from-topic and --interactions"),
    ],
)
def test_a_history_from_two_places_or_none_is_refused(options: list[str], received: str) -> None:
    result = CliRunner().invoke(retrain, options)

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith(f"received {received}")


@pytest.mark.parametrize("name", ["", ".", "..", "../kept", "a/b", "/a", "x" * 101, "a b"])
def test_a_report_replaces_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    options = ["--interactions", str(tmp_path / "i.csv"), "--courses", str(tmp_path / "c.csv"), "--report", name]

    result = CliRunner().invoke(evaluate, options)

    assert isinstance(result.exception, ConfigurationError)
    assert "expected --report as a folder's name" in str(result.exception)


class Evaluated(NamedTuple):
    """What one run of `recsys evaluate` on half bad files wrote."""

    stdout: str
    stderr: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def evaluated(
    events: pd.DataFrame, courses: Sequence[Course], quick: HyperParameters, tmp_path_factory: pytest.TempPathFactory
) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = [*half_bad(events, courses, folder), "--json", str(folder / "out.json")]
    runner = CliRunner(env={"RECSYS_REPORTS_DIR": str(folder / "reports")})
    shown = runner.invoke(evaluate, arguments, obj=quick, catch_exceptions=False)
    assert shown.exit_code == 0
    return Evaluated(shown.stdout, shown.stderr, json.loads((folder / "out.json").read_text()))


def test_evaluate_writes_the_agreed_document(evaluated: Evaluated) -> None:
    document = evaluated.document
    assert {"ndcg@10", "recall@10"} <= set(document["hybrid"])
    assert {"popularity", "recent_popularity", "item_knn", "ease", "ials", "tfidf_profile", "blend"} == set(
        document["baselines"]
    )
    assert document["users"] > 0
    assert "| hybrid |" in evaluated.stdout
    (said,) = [line for line in evaluated.stderr.splitlines() if line.startswith("report: ")]
    assert Path(said.removeprefix("report: ")).is_file()


def test_evaluate_tells_what_was_left_out(evaluated: Evaluated, events: pd.DataFrame) -> None:
    lost = len(events) // 2
    assert f"{lost} refused ({lost} unknown_type)" in evaluated.stderr
    assert "such as 'gone'" in evaluated.stderr
    assert "WARNING: 67% of the history was left out" in evaluated.stderr
    assert evaluated.document["history"]["account"]["refused"] == {"unknown_type": lost}


def test_what_was_left_out_is_told_even_where_too_little_is_left(
    events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path
) -> None:
    shown = CliRunner().invoke(evaluate, half_bad(events.head(60), courses, tmp_path))
    assert isinstance(shown.exception, InputError)
    assert "30 refused (30 unknown_type)" in shown.stderr


def test_where_nothing_has_a_positive_weight_the_message_says_that(
    events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path
) -> None:
    """Seen with a file of dismissals: "expected at least 50 interactions …, received 307"."""
    write_interactions(events.assign(type="dismiss"), tmp_path / "i.csv")
    write_courses(course_frame(courses), tmp_path / "c.csv")
    arguments = ["--interactions", str(tmp_path / "i.csv"), "--courses", str(tmp_path / "c.csv")]
    shown = CliRunner().invoke(evaluate, arguments)
    assert isinstance(shown.exception, InputError)
    said = f"none of the {len(events)} interactions has a positive weight ({len(events)} dismiss)"
    assert said in str(shown.exception)


@pytest.mark.parametrize("command", [evaluate, retrain])
def test_a_text_encoder_is_loaded_before_tensorflow(
    command: Command, events: pd.DataFrame, courses: Sequence[Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with PyTorch 2.15: "LLVM ERROR: inconsistency in registered CommandLine options", and an abort."""
    monkeypatch.setattr(commands, "_import_tensorflow", lambda _: pytest.fail("TensorFlow was imported first"))
    folders = {name: str(tmp_path / name) for name in ("RECSYS_MODELS_DIR", "RECSYS_REPORTS_DIR")}
    runner = CliRunner(env=folders | {"RECSYS_TEXT_ENCODER": str(tmp_path / "missing")})
    options = ["--no-publish"] if command is retrain else []
    shown = runner.invoke(command, [*half_bad(events, courses, tmp_path), *options])
    assert isinstance(shown.exception, ConfigurationError)
    assert "missing of a sentence-transformers model" in str(shown.exception)


def test_with_debug_tensorflow_says_what_it_has_to_say(tmp_path: Path) -> None:
    """A stand-in for Keras, which lies in the folder of the process, says what TensorFlow does as it is imported."""
    said = "I0000 00:00:1795738614.048071 port.cc:153] oneDNN custom operations are on."
    (tmp_path / "keras.py").write_text(f"import os\nos.write(2, b'{said}\\n')\n")
    (tmp_path / "program.py").write_text(
        "import os, sys\n"
        "from batch import commands\n"
        "for level in ('debug', 'info'):\n"
        "    os.environ['RECSYS_LOG_LEVEL'] = level\n"
        "    os.write(2, f'{level}:\\n'.encode())\n"
        "    commands._import_tensorflow(commands.load_settings())\n"
        "    del sys.modules['keras']\n"
    )
    shown = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stderr == f"debug:\n{said}\ninfo:\n"
