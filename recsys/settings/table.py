"""`recsys settings`: every setting with its default and meaning; `docs/settings.md` is its `--markdown`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter

import click
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from rich.table import Table

from recsys.settings import SECTIONS
from recsys.settings.environment import is_secret, variable_of
from recsys.terminal_tables import print_table

_PREFACE = """# Settings

Every process reads its settings from the environment once, at start, and refuses one that cannot work in one line. A
name with the prefix `RECSYS_` that is no setting is refused too. A secret is in no message; instead of its variable,
`<variable>_FILE` may name a file that holds it.
This page is written by `recsys settings --markdown > docs/settings.md`; a test fails when it is out of date.
"""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    Attributes:
        section: First line of its section's docstring.
        variable: Name in the environment.
        default: As it would be written there; empty where it is unset.
        meaning: The sentence beside it in `recsys.settings`; empty if somebody forgot it.
        secret: Whether its value is in no message, and `<variable>_FILE` may name a file that holds it.
    """

    section: str
    variable: str
    default: str
    meaning: str
    secret: bool


def setting_rows() -> list[SettingRow]:
    """Every setting, section by section."""
    return [
        SettingRow(
            str(section.__doc__).partition("\n")[0].removesuffix("."),
            variable_of(name, field),
            _default(field),
            field.description or "",
            is_secret(field),
        )
        for section in SECTIONS
        for name, field in section.model_fields.items()
    ]


def markdown() -> str:
    """The whole of `docs/settings.md`."""
    page = _PREFACE
    for section, rows in groupby(setting_rows(), key=attrgetter("section")):
        page += f"\n## {section}\n\n| variable | default | meaning |\n|---|---|---|\n"
        page += "".join(
            f"| `{row.variable}` | {f'`{row.default}`' if row.default else 'unset'} | {_escaped(row.meaning)}"
            f"{' A secret.' if row.secret else ''} |\n"
            for row in rows
        )
    return page


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    value = to_jsonable_python(field.get_default(call_default_factory=True, validated_data={}))
    if value is None:
        return ""
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
            table.add_row(row.variable, row.default or "unset", row.meaning)
        print_table(table)
