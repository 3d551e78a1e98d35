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

from batch.evaluation.diagnosis import FULL, MOST_LEARNERS, Diagnosis, diagnose, switched_off
from batch.evaluation.experiment import Experiment
from batch.evaluation.gate import Comparison, Verdict
from batch.evaluation.labels import named, options_named
from batch.evaluation.page import shown
from batch.evaluation.plots import short, whole_bins
from batch.evaluation.report import write_report
from batch.evaluation.verdict import verdict
from batch.metrics import Interval
from recsys.model.course_features import NAMES
from recsys.model.signals import SIGNALS

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Page(HTMLParser):
    """What a page shows and what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.described: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.described += [value or "" for name, value in attrs if name == "alt"]
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags[-1] != "style":
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def folder(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = {
        "headline": "To be published. <b>bold</b>",
        "account_lines": ["history x: 9 events read", "WARNING: much was left out"],
        "gate": Verdict(
            passed=True,
            reason="shown to be better",
            current="v1",
            newest=[Comparison("v1", 1234, Interval(0.01, 0.002, 0.02))],
        ).document(),
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
    assert all(len(text.split()) > 5 for text in page.described)
    assert len(page.described) == len(page.fetched)
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
        "course features alone", "Calibration", "Learning curves", "Events and engagement",
        "What diversity would cost", "Coverage, novelty, diversity and popularity bias",
        "Metrics of learners with a history",
        "Learned weights by how many courses a learner has",
    ],
)  # fmt: skip
def test_the_page_has_its_parts(folder: Path, shown: str) -> None:
    assert shown in Page((folder / "report.html").read_text()).words


def test_the_page_says_what_was_compared_on_what_and_how_good_both_are(folder: Path, experiment: Experiment) -> None:
    said = next(
        word for word in Page((folder / "report.html").read_text()).words if word.startswith("one: the hybrid and 7")
    )
    assert (
        f"7 baselines, tuned on a validation slice, rank 40 courses on offer for {len(experiment.cases)} learners"
        in said
    )
    best = experiment.best_baseline()
    assert f"NDCG@10 is {experiment.hybrid.mean('ndcg@10'):.3f} (95 % " in said
    assert f"and {experiment.baselines[best].mean('ndcg@10'):.3f} (95 % " in said
    assert f"for {named(best)}, the best baseline" in said


def test_the_gate_shows_each_comparison_with_its_interval(folder: Path) -> None:
    words = Page((folder / "report.html").read_text()).words
    place = words.index("v1")
    assert words[place : place + 5] == ["v1", "newest events", "1,234", "+0.0100", "+0.0020 … +0.0200"]


def test_a_reader_is_told_when_some_figures_are_of_fewer_learners(experiment: Experiment, tmp_path: Path) -> None:
    few = replace(experiment, cases=[experiment.cases[0]] * (MOST_LEARNERS + 1))
    said = " ".join(Page((write_report(tmp_path, "few", few, {}) / "report.html").read_text()).words)
    assert said.count("On 800 learners with a history, drawn from the 801 of the tables above") == 1
    assert "while ranking, on 800 learners with a history, drawn from the 801 of the tables above" in said
    assert json.loads((tmp_path / "few" / "report.json").read_text())["diversity"]["learners"] == MOST_LEARNERS


def test_a_negative_number_that_rounds_to_zero_has_no_sign() -> None:
    assert shown(-0.00001, "%+.4f") == "+0.0000"
    assert shown(-0.0004, "%+.4f") == "-0.0004"
    assert shown(0.15964, "%.3f") == "0.160"


def test_the_best_baseline_is_named_in_words() -> None:
    gain = {"mean": -0.01, "low": -0.02, "high": -0.005}
    said = verdict({"best_baseline": "recent_popularity", "hybrid_minus_best_baseline": gain})
    assert said.startswith("The hybrid loses to the best baseline (recent popularity): NDCG@10 -0.0100")


def test_counts_have_bins_between_whole_numbers_without_gaps() -> None:
    edges = whole_bins(np.array([1, 300]))
    assert edges[:6].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert edges[-1] > 300
    assert (edges == np.floor(edges)).all()
    widths = np.diff(edges)
    assert (widths >= 1).all()
    assert (np.diff(widths) >= -1).all()  # but for rounding, none is narrower than the one before
    assert len(edges) < 40


@pytest.mark.parametrize(
    ("number", "shown_as"), [(7, "7"), (999, "999"), (2710, "2.7k"), (17_000, "17k"), (1.3e6, "1.3M")]
)
def test_counts_in_a_plot_are_short(number: float, shown_as: str) -> None:
    assert short(number) == shown_as


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
    assert options_named({"popularity": 0.0, "ease": 0.25, "item_knn": 0.004}) == "EASE 0.25"
    assert options_named({}) == "–"


def test_no_name_of_the_code_is_shown(folder: Path) -> None:
    words = " ".join(Page((folder / "report.html").read_text()).words)
    shown = words[: words.index("Settings of the model")]
    assert not re.findall(r"[a-z]+_[a-z0-9]+", shown)
