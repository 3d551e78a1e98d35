"""What every section of the settings has in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, Strict
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "RECSYS_"


class Section(BaseSettings):
    """A part of `Settings`: the settings of one package, each under a name that no other section uses."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def _absent_if_blank(value: Any) -> Any:
    """A deployment that passes every variable on passes some that nobody gave a value."""
    return None if isinstance(value, str) and not value.strip() else value


def _existing_file(path: Path | None) -> Path | None:
    try:
        is_there = path is None or path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ValueError(f"expected a file that exists and can be read: {error.strerror}") from None
    if not is_there:
        raise ValueError("expected a file that exists and can be read")
    return path


def set_among(section: BaseSettings, *fields: str) -> str:
    """The names in the environment of those settings that are set; empty if none is."""
    return ", ".join(f"{PREFIX}{field}".upper() for field in fields if getattr(section, field) is not None)


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("expected a name of printable characters")
    return name


def _folder(path: Path) -> Path:
    if not str(path).strip() or path == Path() or not str(path).isprintable():
        raise ValueError("expected the path of a folder, in printable characters")
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ValueError(f"expected the path of a folder: {error.strerror}") from None
    if is_file:
        raise ValueError("expected the path of a folder, and this is a file")
    return path


def _folder_if_given(path: Path | None) -> Path | None:
    return None if path is None else _folder(path)


def _json_object(value: Any) -> Any:
    """Reads JSON text; what else a caller passes stays as it is.

    Raises:
        ValueError: The text is no JSON object, names a key twice or holds a number that JSON does not know.
    """
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value, object_pairs_hook=_without_repeats, parse_constant=_no_constant, parse_int=_number)
    except RecursionError:
        raise ValueError("expected a JSON object, received one that is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a JSON object: {error.msg} (character {error.pos})") from None
    if not isinstance(parsed, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - pydantic reports ValueError
    return parsed


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("expected each key of the JSON object once")
    return dict(pairs)


def _number(digits: str) -> float:
    """As a double: a number of thousands of digits is none of ours, and Python would advise to allow it."""
    return float(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"expected finite numbers, received {name}")


OptionalText = Annotated[str | None, BeforeValidator(_absent_if_blank)]
OptionalFlag = Annotated[bool | None, BeforeValidator(_absent_if_blank)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_absent_if_blank)]
OptionalFile = Annotated[Path | None, BeforeValidator(_absent_if_blank), AfterValidator(_existing_file)]
OptionalFolder = Annotated[Path | None, BeforeValidator(_absent_if_blank), AfterValidator(_folder_if_given)]
Folder = Annotated[Path, AfterValidator(_folder)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f]+$"), AfterValidator(_printable)]
Number = Annotated[float, Strict()]
"""A number of a JSON object; true and "5" are none."""

Numbers = Annotated[dict[str, Number], NoDecode, BeforeValidator(_json_object)]
"""Numbers by name, a JSON object in the environment."""

Texts = Annotated[dict[str, str], NoDecode, BeforeValidator(_json_object)]
"""Texts by name, a JSON object in the environment."""

NestedNumbers = Annotated[dict[str, dict[str, Number]], NoDecode, BeforeValidator(_json_object)]
"""Numbers by name, by name."""

Word = BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value)
"""For one of a few words, whatever case they are written in."""
