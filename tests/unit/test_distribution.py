"""One process imports TensorFlow: every test that needs it is among those that are run together."""

from __future__ import annotations

from pathlib import Path

from tests.distribution import is_begun_later, together

ROOT = Path(__file__).parents[2]
KERAS = "Keras 3"
"""Stands in the files whose tests train, beside the warning of Keras that they let pass."""

STEP = "recsys.model.increment_training import"
"""The same of those that fine-tune."""
AT_ONCE = "import_tensorflow("
"""The same of those that need no more of it than that."""


def test_the_tests_of_a_file_are_run_together() -> None:
    assert together("tests/contract/test_owner.py::test_x[a::b]") == "tests/contract/test_owner.py"


def test_what_takes_one_process_longest_is_begun_first() -> None:
    tests = [
        "tests/faults/test_a.py::test_x",
        "tests/unit/batch/test_pipeline.py::test_y",
        "tests/e2e/test_b.py::test_z",
    ]
    assert sorted(tests, key=is_begun_later) == [tests[1], tests[0], tests[2]]


def test_all_that_train_are_run_together() -> None:
    files = [file.relative_to(ROOT) for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    training = [file for file in files if any(sign in (ROOT / file).read_text() for sign in (KERAS, STEP, AT_ONCE))]
    assert len(training) > 5
    assert {together(f"{file}::test_x") for file in training} == {"training"}


def test_a_test_process_that_trains_nothing_goes_without_tensorflow(collecting_imports_tensorflow: bool) -> None:
    """Every process looks at the files of all tests, and imports what they name at their head."""
    assert not collecting_imports_tensorflow, "a test imports TensorFlow at its head: import it where it is used"
