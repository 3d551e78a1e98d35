"""Text without its markup, for the text model only: what people read is never changed here.

What is markup is decided by its form, because courses are also *about* markup. A tag counts where an element that
formats text is opened and closed (`<b>…</b>`), where it has attributes with values (`<img src="…">`), where it breaks a
line (`<br>`), or where an element whose end tag may be left out comes twice or begins the text (`<p>…<p>…`). So
`List<String>`, `<b and c>`, "the <canvas> element" and a title such as `<template>` are words. What is markup is then
parsed as HTML (selectolax), the contents of scripts and style sheets left out.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser

_ROUNDS_OF_UNESCAPING = 2  # scraped exports escape twice
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)"
    r"(?P<attributes>(?:\s+[A-Za-z_:][\w:.-]*\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'=<>`]+))*)\s*/?>"
)
_FORMATTING = frozenset(
    """
    a abbr address article aside b big blockquote caption center cite code dd del details div dl dt em figcaption
    figure font footer h1 h2 h3 h4 h5 h6 header i ins kbd li main mark nav ol p pre q s samp script section small
    span strike strong style sub summary sup table tbody td tfoot th thead tr tt u ul var
    """.split()  # noqa: SIM905 - a list of 62 quoted words is harder to read
)
_BREAKING = frozenset({"br", "hr", "wbr"})
_END_TAG_OPTIONAL = frozenset({"p", "li", "dt", "dd", "tr", "td", "th"})
_WITH_ATTRIBUTES = _FORMATTING | frozenset(
    """
    audio base button embed form iframe img input label link meta object option picture select source svg textarea
    track video
    """.split()  # noqa: SIM905 - as above
)


def without_markup(text: str) -> str:
    """The words of a text: character references resolved, markup off, everything else as it was.

    A reference counts only with its semicolon: "R&D&region" holds none.
    """
    for _ in range(_ROUNDS_OF_UNESCAPING):
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "<" not in text:
        return text
    text = _COMMENT.sub(" ", text)
    tags = list(_markup(text))
    if not tags:
        return text
    parts, end = [], 0
    for tag in tags:
        parts += [html.escape(text[end : tag.start()], quote=False), tag[0]]
        end = tag.end()
    tree = LexborHTMLParser("".join([*parts, html.escape(text[end:], quote=False)]))
    tree.strip_tags(["script", "style"], recursive=True)
    return tree.text(separator=" ")


def _markup(text: str) -> Iterator[re.Match[str]]:
    """The tags that are markup, in order."""
    tags = list(_TAG.finditer(text))
    opened = Counter(tag["name"].lower() for tag in tags if not tag["close"])
    paired = _paired(tags)
    for place, tag in enumerate(tags):
        name = tag["name"].lower()
        repeats = name in _END_TAG_OPTIONAL and (opened[name] > 1 or not text[: tag.start()].strip())
        if place in paired or name in _BREAKING or repeats or (tag["attributes"] and name in _WITH_ATTRIBUTES):
            yield tag


def _paired(tags: list[re.Match[str]]) -> set[int]:
    """Places of the tags of formatting elements that are opened and closed."""
    waiting: dict[str, list[int]] = {}
    paired: set[int] = set()
    for place, tag in enumerate(tags):
        name = tag["name"].lower()
        if name not in _FORMATTING:
            continue
        if not tag["close"]:
            waiting.setdefault(name, []).append(place)
        elif waiting.get(name):
            paired |= {waiting[name].pop(), place}
    return paired
