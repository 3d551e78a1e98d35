"""The analyser of the text model: text to terms, in any script.

- Words of scripts that part them by blanks are terms, with each pair of neighbours (those of one letter passed over).
  Combining marks belong to their word (Devanagari, Sinhala, Tamil …); accents of Latin and Greek letters are dropped,
  Arabic letters are unified.
- Names stay names: C, R, C++, C#, F#, .NET, Node.js, A+, R&D. One Latin letter is a term unless it is a vowel: "a", "i"
  and "y" are words in many languages and names in none that matters here.
- Han, kana, Thai, Lao, Khmer and Myanmar text has no blanks between words: its terms are runs of two characters (of two
  and three grapheme clusters where vowels are marks), from one blank or change of script to the next. Hangul words
  carry their particles, so their pairs of syllables are terms beside them.

A change of what this module returns is a new `VERSION`: a model fitted by another one cannot be used.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import regex

VERSION = 3
"""1 was scikit-learn's own: words of two ASCII-folded letters or more; 2 counted short names of titles like words."""

_SHARP = str.maketrans({"♯": "#"})
_INVISIBLE = regex.compile(r"[\p{Cf}--[\u200c\u200d]]", regex.V1)
_ACCENTS = regex.compile(r"(?<=[\p{Latin}\p{Greek}])\p{M}+")
_ARABIC_MARKS = regex.compile(r"[\u064b-\u065f\u0670\u0640]")
_ARABIC = str.maketrans(dict.fromkeys("أإآٱ", "ا") | dict.fromkeys("ىيئ", "ی") | dict.fromkeys("ةۀ", "ه") | {"ك": "ک"})
_ARABIC_ARTICLE = regex.compile(r"^و?ال(?=\p{Arabic}{3,})")
_TOKEN = regex.compile(
    r"""
      (?P<plain>[a-z0-9]{2,}+(?![\p{L}\p{M}\p{N}\u200c\u200d'’ʼ.+\#&]))
    | (?P<ideographs>[\p{Han}\p{Hiragana}\p{Katakana}ー]+)
    | (?P<clusters>[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{M}]--\p{N}]*)
    | (?P<initials>(?<![\p{L}\p{M}\p{N}])\p{L}&\p{L}(?![\p{L}\p{M}\p{N}]))
    | (?P<dotted>[a-z][a-z0-9]*\.(?:js|net|ts|py|io|ai)(?![\p{L}\p{M}\p{N}]))
    | (?P<net>(?<![\p{L}\p{M}\p{N}])\.net(?![\p{L}\p{M}\p{N}]))
    | (?P<signed>[a-z][a-z0-9]*(?:\+\+(?!\p{Latin})|[+\#](?![\p{Latin}\p{N}+\#])))
    | (?P<word>[[\p{L}\p{M}\p{N}\u200c\u200d]--[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]+
        (?:['’ʼ]\p{L}+)*)
    """,
    regex.VERBOSE | regex.V1,
)
_APOSTROPHE = regex.compile("['’ʼ]")
_CLUSTER = regex.compile(r"\X")
_HANGUL = regex.compile(r"\p{Hangul}{3,}")
_CONSONANTS = frozenset("bcdfghjklmnpqrstvwxz")
_SHORTEST_WORD = 2


def terms(text: str) -> list[str]:
    """The terms of a text, repeats included; pairs of neighbouring words are joined by a blank."""
    found: list[str] = []
    words: list[str] = []
    for match in _TOKEN.finditer(_folded(text)):
        if match.lastgroup == "plain":  # nearly all of a text in Latin letters
            words.append(match[0])
            found.append(match[0])
            continue
        if match.lastgroup in {"ideographs", "clusters"}:
            found += _pairs(words)
            words = []
            found += _grams(match[0]) if match.lastgroup == "ideographs" else _cluster_grams(match[0])
            continue
        for word, parts in _names(match):
            found += [word, *parts]
            if len(word) >= _SHORTEST_WORD:
                words.append(word)
    return found + _pairs(words)


def short_names(text: str) -> list[str]:
    """The names in a text that are one letter or have a sign in them (C, R, C++, C#, .NET, R&D), repeats included."""
    found: list[str] = []
    for match in _TOKEN.finditer(_folded(text)):
        is_letter = match.lastgroup == "word" and match[0] in _CONSONANTS
        if is_letter or match.lastgroup in {"signed", "net", "initials"}:
            found.append(match[0])
    return found


def _folded(text: str) -> str:
    """One form for what reads the same: width, case, accents of Latin and Greek, forms of Arabic letters."""
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text.translate(_SHARP))).casefold()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
    return str(_ARABIC_MARKS.sub("", text)).translate(_ARABIC)


def _names(match: regex.Match[str]) -> Iterator[tuple[str, list[str]]]:
    """Words that stand at one place, each with further terms that it is found by."""
    text = match[0]
    if match.lastgroup in {"initials", "net"}:
        yield text, []
    elif match.lastgroup == "dotted":
        stem, _, ending = text.rpartition(".")
        yield text, [part for part in (stem, ".net" if ending == "net" else ending) if _is_word(part)]
    elif match.lastgroup == "signed":
        bare = text.rstrip("+#")
        yield text, [bare] if len(bare) >= _SHORTEST_WORD else []
    else:
        pieces = _APOSTROPHE.split(text.replace("\u200d", ""))
        yield from _words(pieces)


def _words(pieces: list[str]) -> Iterator[tuple[str, list[str]]]:
    for piece in pieces:
        joined = piece.replace("\u200c", "")
        if len(pieces) > 1 and len(joined) < _SHORTEST_WORD:  # the s of "learner's", the l of "l'art"
            continue
        if _is_word(joined):
            word = _ARABIC_ARTICLE.sub("", joined)
            parts = [part for part in piece.split("\u200c") if _is_word(part)] if "\u200c" in piece else []
            syllables = _grams(joined) if _HANGUL.fullmatch(joined) else []
            yield word, [*(part for part in parts if part != word), *syllables]


def _is_word(text: str) -> bool:
    return len(text) >= _SHORTEST_WORD or text in _CONSONANTS or text == ".net"


def _pairs(words: list[str]) -> list[str]:
    return [f"{first} {second}" for first, second in pairwise(words)]


def _grams(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)] or [run]


def _cluster_grams(run: str) -> list[str]:
    clusters = _CLUSTER.findall(run)
    grams = ["".join(clusters[place : place + n]) for n in (2, 3) for place in range(len(clusters) - n + 1)]
    return grams or [run]
