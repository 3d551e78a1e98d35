"""The bad input of a topic, row by row, with the one outcome each has: the same table drives the tests and the page.

`tests/unit/test_events.py` decodes every row, `tests/integration/test_bad_input.py` sends them all to a real worker,
and `docs/bad-input.md` is written from them (`python -m tests.bad_input`).
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.events import Interaction

PAGE = Path(__file__).parents[1] / "docs" / "bad-input.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- table: python -m tests.bad_input -->\n", "<!-- end of table -->\n"
LEARNER = "learner"
ACCEPTED, CLAMPED, UNCHANGED, REROUTED = (
    "accepted",
    "accepted, time clamped to arrival",
    "unchanged",
    "rerouted, accepted",
)
MINUTE_MS, DAY_MS = 60_000, 86_400_000
YEAR_2000_MS = 946_684_800_000
OWN_KEY = b"<own>"
"""Stands for the learner's id, as `bad_key` rows have another key on purpose."""

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One record.

    Attributes:
        name: What is bad about it; unique.
        value: The record's value.
        outcome: A `RefusalReason`, or one of the constants above.
        fields: What the event decodes to beyond the usual; None where it is refused.
        key: The record's key.
        headers: Its headers.
        codec: How it is compressed on its way.
        note: For the page.
    """

    name: str
    value: bytes | None
    outcome: str
    fields: dict[str, Any] | None = None
    key: bytes | None = OWN_KEY
    headers: Headers = field(default=())
    codec: str = "none"
    note: str = ""

    @property
    def refused(self) -> bool:
        """Whether it becomes a dead letter."""
        return self.outcome not in {ACCEPTED, CLAMPED, UNCHANGED, REROUTED}


class Rows:
    """The table for records that arrive at about `arrival_ms`."""

    def __init__(self, arrival_ms: int) -> None:
        self.arrival_ms = arrival_ms
        self.rows: list[Row] = []
        self.values()
        self.json()
        self.ids()
        self.schema()
        self.control()
        self.times()
        self.numbers()
        self.records()

    def usual(self, name: str) -> dict[str, Any]:
        """A view of a course of the row's own: one of another row's would be the same view of the same day again."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:64]
        return {
            "event_id": slug,
            "user_id": LEARNER,
            "course_id": slug,
            "type": "view",
            "timestamp": self.arrival_ms - 1000,
        }

    def body(self, name: str, **changes: Any) -> bytes:
        return json.dumps({**self.usual(name), **changes}).encode()

    def without(self, name: str, field: str) -> bytes:
        return json.dumps({key: value for key, value in self.usual(name).items() if key != field}).encode()

    def raw(self, name: str, outcome: str, value: bytes | None, **more: Any) -> None:
        self.rows.append(Row(name, value, outcome, **more))

    def event(self, name: str, outcome: str, **changes: Any) -> None:
        self.raw(name, outcome, self.body(name, **changes))

    def taken(self, name: str, fields: dict[str, Any] | None = None, outcome: str = ACCEPTED, **changes: Any) -> None:
        """An event that is accepted; `fields` is what differs from what was sent."""
        known = set(Interaction.__struct_fields__)
        sent = {key: value for key, value in changes.items() if key in known}
        expected = {**self.usual(name), **sent, **(fields or {})}
        self.rows.append(Row(name, self.body(name, **changes), outcome, expected))

    def patched(self, name: str, outcome: str, old: bytes, new: bytes, **more: Any) -> None:
        body = self.body(name)
        assert old in body, name
        self.raw(name, outcome, body.replace(old, new, 1), **more)

    def values(self) -> None:
        self.raw("null value", "empty", None)
        self.raw("no bytes", "empty", b"")
        self.raw("2 MB value, compressed on its way", "too_large", self.body("2 MB", pad="x" * 2_000_000), codec="gzip")
        self.event("1 MB string in an unknown field", "too_large", pad="x" * 1_000_000)
        self.taken("0.9 MB string in an unknown field", pad="x" * 900_000)
        self.event("0.9 MB string as user_id", "bad_id", user_id="u" * 900_000)
        many: dict[str, Any] = {f"unknown_{n}": n for n in range(100_000)}
        self.raw("100,000 keys, compressed on their way", "too_large", self.body("keys", **many), codec="gzip")
        fewer: dict[str, Any] = {f"unknown_{n}": n for n in range(30_000)}
        self.taken("30,000 keys", **fewer)
        self.raw("pickle", "not_json", pickle.dumps(self.usual("pickle")))
        self.raw("schema-registry magic byte", "not_json", b"\x00\x00\x00\x00\x01" + self.body("magic"))

    def json(self) -> None:
        body = self.body("json")
        self.patched("bad UTF-8", "not_json", b'"learner"', b'"learner\xff"')
        self.raw("UTF-16", "not_json", body.decode().encode("utf-16"))
        self.raw("byte order mark", "not_json", b"\xef\xbb\xbf" + body)
        self.raw("truncated JSON", "not_json", body[:-3])
        self.raw("trailing bytes", "not_json", body + b"}")
        self.raw("number", "schema", b"5")
        self.raw("text", "schema", b'"event"')
        self.raw("null literal", "schema", b"null")
        self.raw("array", "schema", b"[]")
        self.raw("array of events", "schema", b"[" + body + b"]")
        self.raw("depth 10,000", "too_deep", b"[" * 10_000 + b"]" * 10_000)
        self.raw("depth 10,000, never closed", "too_deep", b"[" * 10_000)
        deep = b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b","
        self.patched("depth 10,000 in an unknown field", "too_deep", b"{", deep)
        self.patched("NaN", "not_json", b'"type"', b'"value": NaN, "type"')
        self.patched("Infinity", "not_json", b'"type"', b'"value": Infinity, "type"')
        self.patched("-Infinity", "not_json", b'"type"', b'"value": -Infinity, "type"')
        self.patched("1e400", "not_json", b'"type"', b'"value": 1e400, "type"')
        self.event("400-digit timestamp", "in_the_future", timestamp=10**400)
        self.event("negative 400-digit timestamp", "before_2000", timestamp=-(10**400))
        self.patched("5,000-digit timestamp", "not_json", str(self.arrival_ms - 1000).encode(), b"9" * 5000)
        self.event("400-digit value", "bad_value", value=10**400)
        twice = "duplicate key, the last one counts"
        self.patched(twice, ACCEPTED, b'{"event_id"', b'{"user_id": "other", "event_id"', fields=self.usual(twice))

    def ids(self) -> None:
        self.raw("missing event_id", "schema", self.without("missing event_id", "event_id"))
        self.event("empty event_id", "bad_id", event_id="")
        self.event("256-character event_id", "bad_id", event_id="e" * 256)
        self.event("null event_id", "schema", event_id=None)
        self.event("NUL in event_id", "bad_id", event_id="e\0")
        self.taken("an event for the first time", event_id="again", course_id="again")
        self.taken("the same event again", outcome=UNCHANGED, event_id="again", course_id="again")
        self.taken("the same event under another id", outcome=UNCHANGED, course_id="again")
        earlier = (self.arrival_ms - 1000) // DAY_MS * DAY_MS
        self.taken("an earlier one of its day", outcome=UNCHANGED, course_id="again", timestamp=earlier)
        self.taken("the same event_id with other content", event_id="again", course_id="again", type="enroll")
        self.event("empty user_id", "bad_id", user_id="")
        self.event("256-character user_id", "bad_id", user_id="u" * 256)
        self.event("empty course_id", "bad_id", course_id="")
        self.event("256-character course_id", "bad_id", course_id="c" * 256)
        self.taken("255-character ids", event_id="e" * 255, user_id="u" * 255, course_id="c" * 255)
        for name, text in (("CR LF", "u\r\nFLUSHALL"), ("NUL", "u\0v"), ("ESC", "u\x1b[2J")):
            self.event(f"{name} in user_id", "bad_id", user_id=text)
        for name in ("event_id", "user_id", "course_id"):
            self.event(f"blanks only as {name}", "bad_id", **{name: "  "})
        for name, text in (("lone surrogate", '"\\ud800"'), ("surrogates the wrong way round", '"\\udc00\\ud800"')):
            self.patched(f"{name} in user_id", "not_json", b'"learner"', text.encode())
        for text in ("{s0}:eng:x", "a:b", "*", "}{", "u{s1}*"):
            self.taken(f"{text} as user_id", user_id=text)
        self.taken("other scripts in user_id", user_id="学习者-ü")

    def schema(self) -> None:
        self.taken("unknown course", course_id="never-heard-of")
        self.event("unknown type", "unknown_type", type="purchase")
        self.event("version 2", "unsupported_version", v=2)
        self.taken("unknown fields", page="/x", nested={"a": [1]})
        self.taken("null optional fields", value=None, session_id=None, user_agent=None)
        for field_name in ("user_id", "course_id", "type", "timestamp"):
            self.raw(f"missing {field_name}", "schema", self.without("missing", field_name))
        self.event("number as user_id", "schema", user_id=5)
        self.event("number as type", "schema", type=3)
        self.event("true as value", "bad_value", value=True)
        self.event('"5" as value', "bad_value", value="5")
        self.event("true as timestamp", "bad_timestamp", timestamp=True)
        self.event("object as timestamp", "bad_timestamp", timestamp={})
        self.event('"5" as version', "schema", v="5")
        self.event("number as session_id", "schema", session_id=7)
        self.taken("a run, an organisation and an adapter", run_id="2026_T1", tenant="edX", source="openedx-logs")
        self.event("256-character run_id", "schema", run_id="r" * 256)
        self.event("129-character tenant", "schema", tenant="t" * 129)
        self.event("65-character source", "schema", source="s" * 65)
        for each in ("unbookmark", "unenroll", "uncomplete", "unrate", "undismiss"):
            self.taken(f"{each} of what never was", type=each, course_id=f"never-{each}")

    def control(self) -> None:
        """Events about a learner and no course."""
        self.control_event("erase", ACCEPTED, type="erase")
        self.control_event("merge", ACCEPTED, type="merge", into="someone")
        self.event("erase of one course", "schema", type="erase")
        self.event("merge of one course", "schema", type="merge", into="someone")
        self.control_event("merge without into", "schema", type="merge")
        self.control_event("merge into oneself", "bad_id", type="merge", into="merge into oneself")
        self.control_event("merge into nobody", "bad_id", type="merge", into="")
        self.control_event("merge into a number", "schema", type="merge", into=7)
        self.control_event("merge into CR LF", "bad_id", type="merge", into="u\r\nFLUSHALL")
        self.control_event("merge into 256 characters", "bad_id", type="merge", into="u" * 256)
        self.control_event("erase into another", "schema", type="erase", into="someone")
        self.event("view into another", "schema", into="someone")

    def control_event(self, name: str, outcome: str, **changes: Any) -> None:
        """A control event of a learner of its own, with no course_id; accepted ones decode to an empty one."""
        fields = {**self.usual(name), "user_id": name, **changes}
        del fields["course_id"]
        decoded = {**fields, "course_id": ""} if outcome == ACCEPTED else None
        self.rows.append(Row(name, json.dumps(fields).encode(), outcome, decoded))

    def times(self) -> None:
        second, now = self.arrival_ms // 1000, self.arrival_ms
        self.event("timestamp 0", "before_2000", timestamp=0)
        self.event("negative timestamp", "before_2000", timestamp=-1)
        self.event("timestamp in seconds", "before_2000", timestamp=second)
        self.event("timestamp in µs", "in_the_future", timestamp=now * 1000)
        self.event("a time in 1970", "before_2000", timestamp="1970-06-01T00:00:00Z")
        self.event("1 ms before 2000", "before_2000", timestamp=YEAR_2000_MS - 1)
        self.taken("the first ms of 2000", timestamp=YEAR_2000_MS)
        self.event("2100", "in_the_future", timestamp=4_102_444_800_000)
        self.event("year 10000", "bad_timestamp", timestamp="10000-01-01T00:00:00Z")
        self.event("RFC 3339 without a zone", "bad_timestamp", timestamp="2023-11-14T22:13:20")
        self.event("fractional timestamp", "bad_timestamp", timestamp=1.7e12)
        self.event("digits as text", "bad_timestamp", timestamp="1700000000000")
        self.taken("RFC 3339 in UTC", {"timestamp": 1_600_000_000_000}, timestamp="2020-09-13T12:26:40Z")
        self.taken("RFC 3339 with an offset", {"timestamp": 1_600_000_000_500}, timestamp="2020-09-13T14:26:40.5+02:00")
        self.event("30 minutes ahead", "in_the_future", timestamp=now + 30 * MINUTE_MS)
        self.taken("4 minutes ahead", {"timestamp": now}, CLAMPED, timestamp=now + 4 * MINUTE_MS)

    def numbers(self) -> None:
        for value in (0, 6, "five", -3, None):
            self.event(f"rating {value}", "bad_value", type="rate", value=value)
        for share in (-0.1, 1.0001):
            self.event(f"progress {share}", "bad_value", type="progress", value=share)
        self.event("negative dwell", "bad_value", value=-5)
        self.event("negative play", "bad_value", type="play", value=-1e-9)
        self.taken("rating 5", type="rate", value=5.0)
        self.taken("complete before any start", type="complete", course_id="never-started")
        self.taken("unenroll before any enroll", type="unenroll", course_id="never-enrolled")

    def records(self) -> None:
        bodies = {name: self.usual(name) for name in ("null key", "wrong key", "binary key")}
        for (name, fields), key in zip(bodies.items(), (None, b"somebody-else", b"\xff\x00"), strict=True):
            self.raw(name, REROUTED, self.body(name), fields=fields, key=key)
        headers: dict[str, Headers] = {
            "binary headers": [("x", bytes(range(256))), ("", b""), ("ce_id", b"\xff\xfe"), ("null", None)],
            "1,000 headers": [(f"h{n}", bytes([n % 256])) for n in range(1000)],
            "0.9 MB header": [("h", b"\x00" * 900_000)],
        }
        for name, each in headers.items():
            self.raw(name, ACCEPTED, self.body(name), fields=self.usual(name), headers=each)
        name = "binary CloudEvents id for a missing event_id"
        self.raw(name, "bad_id", self.without(name, "event_id"), headers=[("ce_id", b"\x00\xff")])
        name = "CloudEvents headers for missing fields"
        self.raw(
            name, ACCEPTED, self.without(name, "event_id"), fields={**self.usual(name), "event_id": "ce-1"},
            headers=[("ce_id", b"ce-1"), ("ce_type", b"enroll")], note="the body wins where it has the field",
        )  # fmt: skip
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            name = f"compressed by {codec}"
            self.raw(name, ACCEPTED, self.body(name, pad="x" * 2000), fields=self.usual(name), codec=codec)


def rows(arrival_ms: int) -> list[Row]:
    """The table for records that arrive at about `arrival_ms`."""
    table = Rows(arrival_ms).rows
    assert len({row.name for row in table}) == len(table)
    return table


def table() -> str:
    """The rows as a Markdown table."""
    lines = ["| record | outcome |", "|---|---|"]
    for row in rows(1_700_000_000_000):
        outcome = f"refused: `{row.outcome}`" if row.refused else row.outcome
        name = row.name.replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| {name} | {outcome}{f' ({row.note})' if row.note else ''} |")
    return "\n".join(lines) + "\n"


def page_with(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(TABLE_BEGINS)
    _, _, after = rest.partition(TABLE_ENDS)
    return f"{before}{TABLE_BEGINS}{table()}{TABLE_ENDS}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text()))
