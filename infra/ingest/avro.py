"""Avro as Kafka's serializers write it: a zero byte, the number of the schema (4 bytes, big-endian), then the body.

The schema comes from a Confluent schema registry by that number, or from files by the type of the event, for where
there is no registry to be asked. Format: Confluent's "Formats, Serializers, and Deserializers", wire format.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException

from recsys.errors import InputError, ServiceUnavailable

MAGIC: Final = 0
PREFIX_BYTES: Final = 5
TIMEOUT_S: Final = 5.0
_NOT_FOUND: Final = 404

Schema = dict[str, Any]
FindSchema = Callable[[int, str | None], Schema | None]
"""From a schema's number and the type of the event, where that is known, to the parsed schema; None: there is none."""


def read_avro(value: bytes, schema: Schema) -> Mapping[str, Any] | None:
    """The record behind the five bytes; None where the body is not of the schema."""
    try:
        found = fastavro.schemaless_reader(io.BytesIO(value[PREFIX_BYTES:]), schema, None)
    except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def schema_number(value: bytes) -> int | None:
    """The number of the schema; None where the value is not of the wire format."""
    if len(value) <= PREFIX_BYTES or value[0] != MAGIC:
        return None
    return int.from_bytes(value[1:PREFIX_BYTES], "big")


def type_of(schema: Schema) -> str | None:
    """The type of event that a schema of Open edX is of: its namespace."""
    name = str(schema.get("name", ""))
    namespace, _, _ = name.rpartition(".")
    return namespace or schema.get("namespace")


def parsed(text: str) -> Schema:
    """A schema from its JSON.

    Raises:
        ValueError: It is none.
    """
    try:
        found = fastavro.parse_schema(json.loads(text))
    except (SchemaParseException, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no Avro schema: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise ValueError("no Avro schema of a record")  # noqa: TRY004 - one error for whatever it is
    return found


def schemas_in(folder: Path) -> FindSchema:
    """The schemas of a folder's `*.avsc` files by the type of event they are of.

    Raises:
        InputError: The folder has none, or one cannot be read.
    """
    found: dict[str, Schema] = {}
    for file in sorted(folder.glob("*.avsc")):
        try:
            schema = parsed(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: expected an Avro schema, received {type(error).__name__}") from None
        found[type_of(schema) or file.stem] = schema
    if not found:
        raise InputError(f"{folder}: expected *.avsc files, received none")
    return lambda _, event_type: None if event_type is None else found.get(event_type)


class SchemaRegistry:
    """A Confluent schema registry; each schema is asked for once.

    Args:
        url: Its address, http or https, as the settings have checked it.
        login: User and password, or None.
        timeout_s: Seconds for one answer.
    """

    def __init__(self, url: str, login: tuple[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s
        self._headers = {} if login is None else {"Authorization": f"Basic {_basic(*login)}"}
        self._found: dict[int, Schema | None] = {}

    def __call__(self, number: int, _event_type: str | None) -> Schema | None:
        """The schema of a number; None where the registry knows none, or none that can be used.

        Raises:
            ServiceUnavailable: The registry does not answer, or refuses the login.
        """
        if number not in self._found:
            self._found[number] = self._asked(number)
        return self._found[number]

    def _asked(self, number: int) -> Schema | None:
        request = urllib.request.Request(f"{self._url}/schemas/ids/{number}", headers=self._headers)  # noqa: S310 - http(s) only
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 - as above
                return parsed(json.loads(answer.read())["schema"])
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            raise ServiceUnavailable(f"the schema registry answers {error.code} for schema {number}") from None
        except OSError as error:
            raise ServiceUnavailable(f"the schema registry does not answer: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError):
            return None


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
