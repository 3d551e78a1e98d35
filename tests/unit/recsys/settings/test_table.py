"""Every setting is explained, and docs/settings.md says what the code says."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from recsys.settings import Settings, load_settings
from recsys.settings.table import SettingRow, command, markdown, setting_rows

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("row", setting_rows(), ids=lambda row: row.variable)
def test_a_setting_is_explained_in_a_sentence(row: SettingRow) -> None:
    assert len(row.meaning.split()) >= 3
    assert row.meaning.endswith((".", ")"))


def test_the_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == markdown(), "run `make docs`"


def test_every_variable_is_really_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the table, set to its default, gives the default settings; the JSON list holds each field once."""
    rows = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert len({row["variable"] for row in rows}) == len(rows) == len(Settings.model_fields)
    unset = {row["variable"] for row in rows if not row["default"]}
    defaults = load_settings()
    for row in rows:
        monkeypatch.setenv(row["variable"], row["default"])
    assert load_settings().model_fields_set == set(Settings.model_fields)
    assert load_settings() == defaults
    empty_means_none = {"RECSYS_SERVING_ROOT_PATH", "RECSYS_TEXT_ENCODER"}
    assert unset <= empty_means_none | {row["variable"] for row in rows if row["secret"]} | {
        f"RECSYS_{service}_{name}"
        for service in ("KAFKA", "REDIS")
        for name in ("SASL_USERNAME", "USERNAME", "SSL_CA_FILE", "SSL_CERT_FILE", "SSL_KEY_FILE")
    } | {
        "RECSYS_SCHEMA_REGISTRY_URL",
        "RECSYS_SCHEMA_REGISTRY_USERNAME",
        "RECSYS_TEXT_ENCODER",
        "RECSYS_XAPI_STAFF_FILE",
        "RECSYS_FINETUNE_IDLE",
    }


def test_a_person_sees_a_table() -> None:
    shown = CliRunner().invoke(command, [])
    assert shown.exit_code == 0
    assert re.search(r"KAFKA_BOOTSTRAP", shown.stdout)
