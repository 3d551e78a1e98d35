"""The report: one page that needs nothing else, and says first what matters."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from batch.evaluation.diagnosis import FULL, Diagnosis, diagnose, switched_off
from batch.evaluation.experiment import Experiment
from batch.evaluation.labels import named, options_named
from batch.evaluation.report import write_report
from recsys.model.course_features import NAMES
from recsys.model.signals import SIGNALS

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Page(HTMLParser):
    """What a page shows and what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags[-1] != "style":
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def folder(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = {
        "headline": "To be published. <b>bold</b>",
        "account_lines": ["history x: 9 events read", "WARNING: much was left out"],
    }
    return write_report(tmp_path_factory.mktemp("reports"), "one", experiment, facts)


@pytest.fixture(scope="module")
def diagnosis(experiment: Experiment) -> Diagnosis:
    return diagnose(experiment)


def test_the_page_fetches_nothing_and_holds_its_plots(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    page = Page(html)
    assert len(page.fetched) == 8
    for address in page.fetched:
        kind, _, value = address.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(value, validate=True).startswith(b"\x89PNG")
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "://" not in html
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json", "report.md"}


def test_the_page_says_first_what_was_decided_then_what_was_read(folder: Path) -> None:
    words = Page((folder / "report.html").read_text()).words
    body = words[1:]  # after the title
    assert body[0] == "To be published. <b>bold</b>"
    assert body.index("history x: 9 events read") < body.index("Ablations")


@pytest.mark.parametrize(
    "shown",
    [
        "learners without a history", "cold courses", "tail", "blend", "iALS", "recent popularity",
        "Leakage checks", "passed", "without towers",
        "course features alone", "Calibration", "Learning curves", "Events and engagement before the test side",
        "What diversity would cost",
        "Learned weights by how many courses a learner has",
    ],
)  # fmt: skip
def test_the_page_has_its_parts(folder: Path, shown: str) -> None:
    assert shown in Page((folder / "report.html").read_text()).words


def test_the_figures_are_in_the_document_too(folder: Path, experiment: Experiment) -> None:
    document = json.loads((folder / "report.json").read_text())
    assert document["segments"]["learners with a history"]["models"]["hybrid"]["mean"] == pytest.approx(
        experiment.hybrid.mean("ndcg@10")
    )
    everybody = document["segments"]["all learners"]["learners"]
    assert everybody == len(experiment.cases) + document["cold_users"]["users"]
    assert set(document["weights"]) == {*SIGNALS, *NAMES}
    assert [check["passed"] for check in document["leakage"]] == [True] * 6


def test_the_parts_begin_with_the_hybrid_as_evaluated(experiment: Experiment, diagnosis: Diagnosis) -> None:
    whole, *others = diagnosis.parts
    assert whole.name == FULL
    assert whole.ndcg.mean == pytest.approx(experiment.hybrid.mean("ndcg@10"), abs=1e-3)
    assert whole.difference.mean == 0.0
    assert {"without towers", "without course features"} <= {part.name for part in others}


def test_switching_a_part_off_removes_its_columns_alone() -> None:
    masks = switched_off()
    assert masks["without text"].sum() == len(SIGNALS) + len(NAMES) - 1
    assert masks["without text"][SIGNALS.index("text")] == 0.0
    assert masks["course features alone"].tolist() == [0.0] * len(SIGNALS) + [1.0] * len(NAMES)
    assert masks["towers alone"].sum() == 1.0


def test_shares_predicted_and_observed_each_add_up_to_one_a_learner(diagnosis: Diagnosis) -> None:
    found = diagnosis.calibration
    for shares in (found.predicted, found.observed):
        assert float(shares @ found.courses) == pytest.approx(diagnosis.learners)
    assert 0.0 <= found.error <= 1.0
    perfect = replace(found, observed=found.predicted)
    assert perfect.error == pytest.approx(0.0, abs=1e-12)
    assert not np.isnan(found.error)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("item_knn", "item-kNN"),
        ("hybrid", "hybrid"),
        ("popularity_7d", "popularity, half-life 7 d"),
        ("popularity_infd", "popularity, all time"),
        ("age_30d", "2^(−age / 30 d)"),
    ],
)
def test_names_are_shown_in_words(name: str, shown: str) -> None:
    assert named(name) == shown


def test_options_are_shown_with_units_and_a_blend_without_what_weighs_nothing() -> None:
    assert options_named({"alpha": 2.0, "half_life_days": 3650.0}) == "weight of a like 2, half-life 3,650 days"
    assert options_named({"popularity": 0.0, "ease": 0.25}) == "EASE 0.25"
    assert options_named({}) == "–"


def test_no_name_of_the_code_is_shown(folder: Path) -> None:
    words = " ".join(Page((folder / "report.html").read_text()).words)
    shown = words[: words.index("Settings of the model")]
    assert not re.findall(r"[a-z]+_[a-z0-9]+", shown)
