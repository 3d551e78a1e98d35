"""What the environment says of settings besides their values: names that nobody reads, files that hold secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from recsys.errors import ConfigurationError
from recsys.settings.section import PREFIX

NOT_SETTINGS = frozenset({"RECSYS_TEST_SERVICES", "RECSYS_TEST_EXAMPLES", "RECSYS_DATA_DIR"})
"""Names with our prefix that the tests and benchmarks read, and no process of the system."""

NEARLY = 0.88
"""How alike a name without our prefix must be to that of an address: KAFKA_BOOTSTRAP_SERVER and REDIS_URI are."""

REMOVED = frozenset({"RECSYS_DEDUPE_WINDOW_HOURS", "RECSYS_ENGAGEMENT_MAX_DONE"})
"""Settings of releases up to 31e9a26: no ids of events are remembered any more, and done courses follow the records."""

MAX_SHOWN_CHARS = 80
MAX_SECRET_FILE_BYTES = 64 * 1024

_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$")


def variable_of(name: str, field: FieldInfo) -> str:
    """The name of a setting in the environment."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{PREFIX}{name}".upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value must not be shown: it may come from a file then."""
    extra = field.json_schema_extra
    marked = isinstance(extra, dict) and extra.get("secret") is True
    return marked or "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def check_names(environment: Mapping[str, str], model: type[BaseModel]) -> None:
    """A misspelt setting must not be one that silently keeps its default.

    Raises:
        ConfigurationError: A name has our prefix and is no setting; the message gives the nearest that is one.
    """
    known = {variable_of(name, field) for name, field in model.model_fields.items()}
    known |= {f"{variable_of(name, field)}_FILE" for name, field in model.model_fields.items() if is_secret(field)}
    unknown = sorted(
        name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known | NOT_SETTINGS
    )
    services = {variable_of(name, field) for name, field in model.model_fields.items()} - {
        name for name in known if name.startswith(PREFIX)
    }
    unknown += [name for name in sorted(environment) if _is_meant_for(name, environment, services, known)]
    if unknown:
        raise ConfigurationError("; ".join(_unknown(name, environment[name], known) for name in unknown))


def _is_meant_for(name: str, environment: Mapping[str, str], services: set[str], known: set[str]) -> bool:
    """Whether a name without our prefix is nearly that of a service's address, which itself is not set."""
    if name in known or name.upper().startswith(PREFIX):
        return False
    near = difflib.get_close_matches(name.upper(), sorted(services), n=1, cutoff=NEARLY)
    return bool(near) and near[0] not in environment and f"{near[0]}_FILE" not in environment


def _unknown(name: str, value: str, known: set[str]) -> str:
    if _SERVICE_LINK.search(name) and (value.startswith("tcp://") or "_SERVICE_" in name):
        return f"{name} is no setting but a service link of Kubernetes: set enableServiceLinks: false on the pod"
    if name.upper() in REMOVED:
        return f"{name} is no setting any more: take it out of the environment (docs/operations.md, Upgrading)"
    unprefixed = name.upper().removeprefix(PREFIX)
    nearest = [unprefixed] if unprefixed in known else difflib.get_close_matches(name.upper(), sorted(known), n=1)
    return f"{name} is no setting: " + (f"did you mean {nearest[0]}?" if nearest else "`recsys settings` lists them")


def secrets_from_files(environment: Mapping[str, str], model: type[BaseModel]) -> dict[str, str]:
    """Field → content of the file that `NAME_FILE` names, for the settings that are secrets; a last newline is cut.

    Raises:
        ConfigurationError: A file cannot be read or is empty, or a setting is given both ways.
    """
    given = {name.upper(): value for name, value in environment.items()}
    read: dict[str, str] = {}
    for name, field in model.model_fields.items():
        variable = variable_of(name, field)
        path = given.get(f"{variable}_FILE", "").strip()
        if not is_secret(field) or not path:
            continue
        if given.get(variable, "").strip():
            raise ConfigurationError(f"expected one of {variable} and {variable}_FILE, and both are set")
        read[name] = _secret_in(Path(path), f"{variable}_FILE")
    return read


def _secret_in(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_FILE_BYTES).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigurationError(f"{variable}: expected a file that can be read: {reason}") from None
    if not content:
        raise ConfigurationError(f"{variable}: expected a file with a secret in it, and it is empty")
    return content


def refusal(error: ValidationError, model: type[BaseModel]) -> str:
    """One line on every setting that pydantic refused; of a secret, what was received is not part of it."""
    return "; ".join(dict.fromkeys(_refused(item, model) for item in error.errors(include_url=False)))


def _refused(item: Any, model: type[BaseModel]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:  # a rule on several settings names them, and its input would be all settings
        return message
    field_name, field = _field_at(str(item["loc"][0]), model)
    inside = "".join(f"[{step!r}]" for step in item["loc"][1:])
    if field is None:
        return f"{item['loc'][0]}: {message}"
    said = f"{variable_of(field_name, field)}{inside}: {message}"
    return said if is_secret(field) else f"{said}, received {shown(item['input'])}"


def _field_at(location: str, model: type[BaseModel]) -> tuple[str, FieldInfo | None]:
    for name, field in model.model_fields.items():
        if location in {name, variable_of(name, field)}:
            return name, field
    return location, None


def shown(value: object) -> str:
    """A rejected value as a message may repeat it: short, on one line, without a user and password before an @."""
    _, at, rest = (text := str(value)).rpartition("@")
    return repr((f"***@{rest}" if at else text)[:MAX_SHOWN_CHARS])
