"""docs/e_learning.ipynb runs from its first cell to its last, and holds no outputs of another run."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "e_learning.ipynb"

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    return list(notebook["cells"])


def test_every_cell_runs_in_order(cells: list[dict[str, Any]]) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    said = io.StringIO()
    with redirect_stdout(said):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)  # noqa: S102 - that is its use
    shown = said.getvalue()
    assert "The hybrid" in shown
    assert not re.findall(r"[a-z]+_[a-z0-9]+", shown[shown.index("The hybrid") :]), "names of the code"
    assert names["document"]["hybrid"]["ndcg@10"] == names["experiment"].hybrid.mean("ndcg@10")
    assert names["experiment"].hybrid.mean("ndcg@10") > 0
    assert names["after"] != names["before"]


def test_the_files_it_names_exist(cells: list[dict[str, Any]]) -> None:
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    named = re.findall(r"`(\w+(?:/[\w.]+)+\.py)`", text)
    assert named
    assert not [path for path in named if not (NOTEBOOK.parents[1] / path).is_file()]


def test_no_outputs_are_kept(cells: list[dict[str, Any]]) -> None:
    assert not [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
