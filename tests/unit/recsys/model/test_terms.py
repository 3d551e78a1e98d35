"""The analyser: which terms a text has, in scripts with and without blanks between words."""

import numpy as np
import pytest

from batch.features import fit_text, tfidf_matrix
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.model.terms import terms


def singles(text: str) -> list[str]:
    return [term for term in terms(text) if " " not in term]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C, C++ and C#", ["c", "c++", "and", "c#"]),
        ("C/C++17 for R", ["c", "c++", "17", "for", "r"]),
        ("C++언어 C#을", ["c++", "언어", "c#"]),
        ("F♯ and Ｊ＃", ["f#", "and", "j#"]),
        ("C#.NET", ["c#", ".net"]),
        (".NET, ASP.NET", [".net", "asp.net", "asp", ".net"]),
        ("Node.js", ["node.js", "node", "js"]),
        ("Notepad++ Network+ A+", ["notepad++", "notepad", "network+", "network", "a+"]),
        ("R&D and Q&A", ["r&d", "and", "q&a"]),
        ("learner's course isn't l'art", ["learner", "course", "isn", "art"]),
        ("I am a teacher", ["am", "teacher"]),
        ("Python 3 in 2024: 1+1", ["python", "in", "2024"]),
        ("end of one.Start of two", ["end", "of", "one", "start", "of", "two"]),
        ("Über naïve Άλφα", ["uber", "naive", "αλφα"]),
        ("Йод и ёж", ["йод", "ёж"]),
    ],
)
def test_words_and_names(text: str, expected: list[str]) -> None:
    assert singles(text) == expected


def test_neighbouring_words_are_a_term_too() -> None:
    assert terms("learn C++ now") == ["learn", "c++", "now", "learn c++", "c++ now"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("深度学习", ["深度", "度学", "学习"]),
        ("C++语言", ["c++", "语言"]),
        ("学Python吧", ["学", "python", "吧"]),
        ("データ", ["デー", "ータ"]),
        ("ไทย", ["ไท", "ทย", "ไทย"]),
    ],
)
def test_scripts_without_blanks_are_cut_into_runs(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize("text", ["प्रोग्रामिंग", "প্রোগ্রামিং", "நிரலாக்கம்", "ప్రోగ్రామింగ్", "ක්‍රමලේඛනය", "ପ୍ରୋଗ୍ରାମିଂ"])
def test_combining_marks_stay_in_their_word(text: str) -> None:
    assert terms(text) == [text.replace("\u200d", "")]


def test_joiners_and_letter_forms_do_not_part_what_reads_the_same() -> None:
    assert set(singles("می\u200cنویسم")) >= {"مینویسم", "می", "نویسم"}
    assert terms("كتاب علي") == terms("کتاب علی")
    assert terms("البرمجة") == terms("برمجة")
    assert terms("in\u00adter\u200bnet") == ["internet"]


def test_hangul_words_are_found_without_their_particles() -> None:
    assert "파이" in terms("파이썬을")
    assert set(terms("파이썬")) & set(terms("파이썬을"))


def test_a_long_text_of_one_kind_is_analysed_in_a_moment() -> None:
    for odd in ("a" * 200_000, "+" * 200_000, "字" * 200_000, "'" * 200_000, "a." * 100_000, "\u0301" * 200_000):
        terms(odd)


BACKGROUND = (
    *("Watercolour for beginners", "Chess for beginners", "Drawing basics", "First aid basics", "Learn chess"),
    *("Learn knitting", "Modern dance", "Modern art", "Advanced chess", "Planning a garden"),
    *("Поэзия", "Основы шахмат", "摄影", "书法入门", "茶艺入门", "茶道の基礎", "将棋の基礎"),
    *("हिन्दी में संगीत सीखें", "हिन्दी में चित्रकला सीखें", "أساسيات الرسم", "آموزش شطرنج", "آموزش نقاشی"),
    *("그림을 배우자", "바둑을 배우자", "체스를 배우자", "การวาดภาพ", "การถ่ายภาพ"),
)
"""Courses that make the common words common, as in any catalogue."""


def similarity(*titles: str) -> np.ndarray:
    courses = [Course(course_id=str(place), title=title) for place, title in enumerate(titles)]
    matrix = tfidf_matrix(fit_text(courses, HyperParameters(text_dim=2)), courses)
    return np.asarray((matrix @ matrix.T).todense())


@pytest.mark.parametrize(
    ("course", "like", "unlike"),
    [
        ("C programming", "Programming in C", "C++ programming"),
        ("Modern C++", "Modern C++ in depth", "Modern C"),
        ("C++ templates", "Games in C++", "Templates for garden letters"),
        ("C# basics", "Learn C#", "C basics"),
        ("R for data", "Plots in R", "C for networks"),
        (".NET services", "Services in .NET", "Internet services"),
        ("R&D planning", "Planning for R&D", "R planning"),
        ("机器学习入门", "机器学习与实践", "法国菜烹饪入门"),
        ("Python数据分析", "用Python做数据分析", "Python网页开发"),
        ("機械学習の基礎", "はじめての機械学習", "写真撮影の基礎"),
        ("การเขียนโปรแกรมภาษาไพทอน", "เรียนเขียนโปรแกรมเบื้องต้น", "การทำอาหารไทย"),
        ("पायथन प्रोग्रामिंग", "प्रोग्रामिंग का परिचय", "प्रगति का परिचय"),
        ("भारतीय कला", "कला का इतिहास", "काल का इतिहास"),
        ("برنامه‌نویسی پایتون", "آموزش برنامه نویسی", "آموزش آشپزی"),
        ("أساسيات البرمجة", "برمجة المواقع", "أساسيات الطبخ والحلويات"),
        ("Основы программирования", "Программирование: основы программирования", "Основы кулинарии"),
        ("파이썬을 배우자", "파이썬 입문", "요리를 배우자"),
        ("Βασικές αρχές προγραμματισμού", "Προγραμματισμού μαθήματα", "Βασικές συνταγές μαγειρικής"),
    ],
)
def test_courses_are_as_alike_as_a_person_would_say(course: str, like: str, unlike: str) -> None:
    found = similarity(course, like, unlike, *BACKGROUND)

    assert found[0, 1] > found[0, 2]
    assert found[0, 1] > found[0, 3:].max()


@pytest.mark.parametrize(
    ("course", "like", "unlike"),
    [
        ("C++ for beginners", "Advanced C++", "C for beginners"),
        ("C++ for beginners", "Modern C++ templates", "C# for beginners"),
        ("C for beginners", "Embedded C", "C++ for beginners"),
        ("R for beginners", "Statistics with R", "C for beginners"),
        ("C++语言入门", "C++高级编程", "C语言入门"),
        ("สอน C++ เบื้องต้น", "C++ ขั้นสูง", "สอน C เบื้องต้น"),
        ("C++ की शुरुआत", "उन्नत C++", "C की शुरुआत"),
        ("أساسيات C++", "C++ للمحترفين", "أساسيات C"),
        ("C# 입문", "C# 게임 만들기", "C 입문"),
        ("Основы C++", "Шаблоны C++", "Основы C"),
    ],
)
def test_a_short_name_says_more_than_the_phrase_beside_it(course: str, like: str, unlike: str) -> None:
    for background in (BACKGROUND, ()):
        found = similarity(course, like, unlike, *background)
        assert found[0, 1] > found[0, 2]


def test_names_of_one_letter_with_signs_are_not_the_same_course() -> None:
    found = similarity("C", "C++", "C#", "R", "F#")

    np.testing.assert_allclose(found, np.eye(5), atol=1e-12)
