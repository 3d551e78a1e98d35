"""Glued words: parted for the text model where the catalogue itself writes them apart, and never for people."""

from functools import partial

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from batch.clean import clean_courses
from batch.features import fit_text, tfidf_matrix
from batch.text_repair import find_cuts
from recsys.catalog import Course
from recsys.files import course_frame
from recsys.model.hyperparameters import HyperParameters
from recsys.model.text import GLUED_SENTENCES, course_terms, part_words

SMALL = HyperParameters(text_dim=2)


def test_glued_sentences_are_parted_but_names_and_numbers_are_not() -> None:
    text = "Store your documents.As a part of it,you use Node.js and version 3.5,see U.S.A or e.g. this."

    assert (
        GLUED_SENTENCES.sub(" ", text)
        == "Store your documents. As a part of it,you use Node.js and version 3.5,see U.S.A or e.g. this."
    )


def test_a_glued_word_is_parted_only_where_the_texts_write_it_apart() -> None:
    texts = ["keep all your files in the inbox"] * 30 + ["in", "box"] * 30 + ["move Allyour mail to the inbox"]

    assert part_words(texts[-1], find_cuts(texts)) == "move All your mail to the inbox"


def test_a_word_that_is_often_written_together_stays_together() -> None:
    assert find_cuts(["open the home page"] * 30 + ["open the homepage"] * 5) == {}


def test_people_read_what_was_written_and_the_text_model_reads_it_parted() -> None:
    common = [Course(course_id=f"c{i}", title=f"Title {i}", intro="keep all your files") for i in range(30)]
    glued = Course(course_id="g", title="Glued", intro="Store allyour files. Use System.Out and documents.As said")

    kept, report = clean_courses(course_frame([*common, glued]))
    model = fit_text([*common, glued], SMALL)

    assert kept["intro"].iloc[-1] == glued.intro
    assert not report.changed
    assert {"all your", "your files"} <= set(model.vocabulary)
    assert "allyour" not in model.vocabulary
    assert {"documents", "as"} <= set(model.vocabulary)


def test_glued_words_are_looked_for_in_the_whole_catalogue() -> None:
    common = [Course(course_id=f"c{i}", title=f"Title {i}", intro="keep all your files") for i in range(30)]
    glued = [Course(course_id="g", title="Glued", intro="allyour files")]

    assert "all your" in fit_text(glued, SMALL, [*common, *glued]).vocabulary
    assert "allyour" in fit_text(glued, SMALL).vocabulary


def test_weights_equal_those_of_scikit_learn() -> None:
    titles = ("C++ and C#", "<b>Bold</b> R and R&D", "机器学习 R", "R R R of C++", "?")
    courses = [Course(course_id=title, title=title) for title in titles]
    model = fit_text(courses, SMALL)
    analyzer = partial(course_terms, cuts=model.cuts)
    reference = TfidfVectorizer(vocabulary=model.vocabulary, analyzer=analyzer, sublinear_tf=True)
    reference.idf_ = np.array(model.idf)

    np.testing.assert_allclose(
        tfidf_matrix(model, courses).toarray(), reference.transform(courses).toarray(), rtol=1e-12, atol=1e-15
    )
