"""Text as people read it: what scraped and exported catalogues do to words, undone where a rule is safe."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_GLUED_SENTENCES = re.compile(r"(?<=[a-z]{2}[.!?;:,])(?=[A-Z][a-z])|(?<=[a-z])(?=\([a-z])|(?<=[a-z]\))(?=[A-Za-z])")
_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*")

MIN_PART_COUNT = 20
"""A glued word is taken apart only into words the catalogue uses at least this often."""

MIN_PART_LENGTH = 2
"""One letter is too little evidence: "away" and "apart" are words."""

MIN_RATIO = 10
"""A glued word is taken apart only if the texts write it apart at least this many times as often."""


def readable(text: str) -> str:
    """Text as its author wrote it, on one line: NFC, control characters as blanks, no blanks at its ends.

    Nothing else is changed: `List<String>`, `&lt;` and the joiners of Persian, Sinhala and emoji stay. What is served
    as HTML is escaped there, once.
    """
    one_line = _BLANKS.sub(lambda blanks: " " if _CONTROL.search(blanks[0]) else blanks[0], text)
    return unicodedata.normalize("NFC", one_line).strip()


def is_visible(text: str) -> bool:
    """Whether a person sees anything: a character that is neither a blank nor invisible."""
    return any(unicodedata.category(character) not in _INVISIBLE for character in text)


def unique(texts: Iterable[str]) -> tuple[str, ...]:
    """Readable texts without the empty ones and without repeats (letter case aside), in order of appearance."""
    seen: dict[str, str] = {}
    for text in map(readable, texts):
        if is_visible(text):
            seen.setdefault(text.casefold(), text)
    return tuple(seen.values())


def unglue(texts: Sequence[str]) -> list[str]:
    """Puts back spaces that line breaks left behind ("documents.As a part", "store allyour files").

    Two rules, both safe by construction. Sentences are parted where a lower-case word, a punctuation mark and a
    capitalised word touch. A word is parted into two only where the same texts write exactly these two words apart
    `MIN_RATIO` times as often as together, and each of them at least `MIN_PART_COUNT` times; and only if there is one
    such place. So "inbox" and "online" stay whole.

    Args:
        texts: The whole catalogue's texts: they are their own dictionary.

    Returns:
        The texts in the same order.
    """
    parted = [_GLUED_SENTENCES.sub(" ", text) for text in texts]
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for text in parted:
        sequence = [word.lower() for word in _WORD.findall(text)]
        words.update(sequence)
        pairs.update(pairwise(sequence))
    cuts = {word: cut for word in words if (cut := _cut(word, words, pairs))}
    return [_WORD.sub(lambda match: _part(match[0], cuts), text) for text in parted]


def _cut(word: str, words: Counter[str], pairs: Counter[tuple[str, str]]) -> int:
    """Where a glued word is parted; 0 where it is one word, or could be parted in two ways."""
    places = [
        place
        for place in range(MIN_PART_LENGTH, len(word) - MIN_PART_LENGTH + 1)
        if pairs[word[:place], word[place:]] >= MIN_RATIO * words[word]
        and min(words[word[:place]], words[word[place:]]) >= MIN_PART_COUNT
    ]
    return places[0] if len(places) == 1 else 0


def _part(word: str, cuts: dict[str, int]) -> str:
    cut = cuts.get(word.lower(), 0)
    return f"{word[:cut]} {word[cut:]}" if cut else word
