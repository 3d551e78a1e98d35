"""`recsys settings`: every setting with its default and meaning; `docs/settings.md` is its `--markdown`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import click
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table

from recsys.settings import Settings

_PREFACE = """# Settings

Every process reads its settings from the environment once, at start, and refuses one that cannot work in one line.
This table is written by `recsys settings --markdown > docs/settings.md`; a test fails when it is out of date.

| variable | default | meaning |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    Attributes:
        variable: Name in the environment.
        default: As it would be written there.
        meaning: The sentence beside it in `recsys.settings`; empty if somebody forgot it.
    """

    variable: str
    default: str
    meaning: str


def setting_rows() -> list[SettingRow]:
    """Every setting, in the order of `Settings`."""
    return [
        SettingRow(_variable(name, field), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def markdown() -> str:
    """The whole of `docs/settings.md`."""
    lines = (
        f"| `{row.variable}` | `{row.default}` | {row.meaning.replace('|', chr(92) + '|')} |\n"
        for row in setting_rows()
    )
    return _PREFACE + "".join(lines)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def _default(field: FieldInfo) -> str:
    value = to_jsonable_python(field.get_default(call_default_factory=True, validated_data={}))
    return value if isinstance(value, str) else json.dumps(value)


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print docs/settings.md.")
def command(as_json: bool, as_markdown: bool) -> None:
    """List every setting with its default and meaning."""
    if as_json:
        click.echo(json.dumps([asdict(row) for row in setting_rows()], ensure_ascii=False))
    elif as_markdown:
        click.echo(markdown(), nl=False)
    else:
        table = Table("variable", "default", "meaning", show_lines=True)
        for row in setting_rows():
            table.add_row(row.variable, row.default, row.meaning)
        Console().print(table)
