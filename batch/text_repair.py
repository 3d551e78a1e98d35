"""Text as people read it, which stays as its author wrote it; and what glued words the text model has to part."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from recsys.model.text import GLUED_SENTENCES, WORD

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})

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


def find_cuts(texts: Sequence[str]) -> dict[str, int]:
    """The words that lost the blank between them to a line break ("store allyour files"), for the text model.

    A word is parted into two only where the same texts write exactly these two words apart `MIN_RATIO` times as often
    as together, and each of them at least `MIN_PART_COUNT` times; and only if there is one such place. So "inbox" and
    "online" stay whole. What people read is not changed: a rule that mends "documents.As" would break `System.Out`.

    Args:
        texts: All texts of the catalogue without markup: they are their own dictionary.

    Returns:
        Lower-case word → where it is parted (`recsys.model.text.part_words` parts it).
    """
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for text in texts:
        sequence = [word.lower() for word in WORD.findall(GLUED_SENTENCES.sub(" ", text))]
        words.update(sequence)
        pairs.update(pairwise(sequence))
    return {word: cut for word in words if (cut := _cut(word, words, pairs))}


def _cut(word: str, words: Counter[str], pairs: Counter[tuple[str, str]]) -> int:
    """Where a glued word is parted; 0 where it is one word, or could be parted in two ways."""
    places = [
        place
        for place in range(MIN_PART_LENGTH, len(word) - MIN_PART_LENGTH + 1)
        if pairs[word[:place], word[place:]] >= MIN_RATIO * words[word]
        and min(words[word[:place]], words[word[place:]]) >= MIN_PART_COUNT
    ]
    return places[0] if len(places) == 1 else 0
