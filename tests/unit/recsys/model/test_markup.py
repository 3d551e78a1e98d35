"""What is markup and what is a course about markup."""

import pytest

from recsys.model.markup import without_markup


def words(text: str) -> str:
    return " ".join(without_markup(text).split())


@pytest.mark.parametrize(
    "text",
    [
        "Optional<T>, Map<String> and vector<u8>",
        "The <video> and <canvas> elements",
        "<slot>",
        "<section>",
        "is x <i and y> z, or a<b and c>d",
        "R&D&region, see https://host.example/?x=1&reg=2&para=3",
        "1 < 2 > 0 <3",
        "Generics in Java: <T extends Comparable<T>>",
        "</body> and what comes after",
    ],
)
def test_words_in_angle_brackets_are_words(text: str) -> None:
    assert words(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>Knots &amp; <b>ropes</b></p>", "Knots & ropes"),
        ("<p>One<p>Two", "One Two"),
        ("one<br>two<br/>three", "one two three"),
        ('See <a href="https://host.example/?a=1&b=2">here</a>', "See here"),
        ('<img src="x.png" alt="a knot"> Knots', "Knots"),
        ("<UL><LI>One</LI><LI>Two</LI></UL>", "One Two"),
        ("Knots<script>var x = 1 < 2;</script><style>p{}</style>", "Knots"),
        ("a<!-- b --> c", "a c"),
        ("<p>Using List<String> &lt;here&gt;</p>", "Using List<String> <here>"),
        ("&lt;p&gt;Twice &amp;amp; escaped&lt;/p&gt;", "Twice & escaped"),
        ("Escaping &lt;script&gt; safely", "Escaping <script> safely"),
        ("Caf&eacute; &#233; &#xe9;", "Café é é"),
        ("<span style='a'>Knots</span> for if a <b and c>", "Knots for if a <b and c>"),
    ],
)
def test_markup_is_taken_off_by_its_form(text: str, expected: str) -> None:
    assert words(text) == expected


def test_odd_input_of_any_length_is_read_in_a_moment() -> None:
    for odd in ("<" * 100_000, "<b " * 50_000, "&" * 100_000, "<b>" * 20_000 + "</b>" * 20_000, "<a x=" * 20_000):
        without_markup(odd)
