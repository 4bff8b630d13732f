"""Coherence against sums over documents, and its limits."""

from __future__ import annotations

from itertools import combinations
from math import log

import numpy as np
import pytest
from scipy import sparse

from vemfast.metrics import coherence


def by_loops(topic: list[float], counts: np.ndarray, measure: str, n_words: int) -> float:
    ranked = sorted(range(len(topic)), key=lambda word: -topic[word])[:n_words]
    values = []
    for i, j in combinations(ranked, 2):
        one = sum(row[i] > 0 for row in counts)
        other = sum(row[j] > 0 for row in counts)
        both = sum(row[i] > 0 and row[j] > 0 for row in counts)
        n = len(counts)
        if measure == "u_mass":
            if one:
                values.append(log((both + 1) / one))
        elif both == 0:
            values.append(-1.0)
        elif both == n:
            values.append(1.0)
        else:
            values.append(log(both * n / (one * other)) / -log(both / n))
    return sum(values) / len(values) if values else float("nan")


@pytest.mark.parametrize("measure", ["u_mass", "c_npmi"])
@pytest.mark.parametrize("n_words", [2, 5, 9])
def test_against_loops(measure: str, n_words: int) -> None:
    rng = np.random.default_rng(n_words)
    counts = rng.poisson(0.7, (12, 9))
    counts[:, 3], counts[:, 4] = 0, 2  # in no document, in every one
    topics = rng.random((4, 9)).round(1)  # with ties
    expected = [by_loops(list(topic), counts, measure, n_words) for topic in topics]
    for form in (counts, sparse.csr_matrix(counts), sparse.coo_array(counts)):
        np.testing.assert_allclose(coherence(topics, form, measure, n_words), expected, rtol=1e-12)


def test_words_of_one_document_hang_together_and_strangers_do_not() -> None:
    counts = np.kron(np.eye(2, dtype=int), np.ones((3, 4), dtype=int))
    friends, strangers = [4, 3, 2, 1, 0, 0, 0, 0], [4, 0, 3, 0, 2, 0, 1, 0]
    for measure in ("u_mass", "c_npmi"):
        near, far = coherence([friends, strangers], counts, measure, n_words=4)
        assert near > far
    assert coherence([friends], counts, "c_npmi", n_words=4) == pytest.approx(1.0)


def test_a_stored_zero_is_no_occurrence() -> None:
    counts = sparse.csr_matrix(np.array([[1, 1], [1, 0]]))
    with_zero = sparse.csr_matrix(([1, 1, 1, 0], [0, 1, 0, 1], [0, 2, 4]))
    for measure in ("u_mass", "c_npmi"):
        np.testing.assert_array_equal(
            coherence([[2, 1]], counts, measure, 2), coherence([[2, 1]], with_zero, measure, 2)
        )


def test_a_topic_of_unseen_words_has_none() -> None:
    counts = np.array([[0, 0, 1], [0, 0, 2]])
    assert np.isnan(coherence([[2, 1, 0]], counts, "u_mass", 2)).all()
    assert coherence([[2, 1, 0]], counts, "c_npmi", 2) == -1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2]], np.ones((3, 2)), "c_v"), "measure must be one of u_mass, c_npmi; got 'c_v'"),
        (([[1, 2, 3]], np.ones((3, 2))), r"shape \(1, 3\), expected \(n_topics, 2\)"),
        (([[1, np.nan]], np.ones((3, 2))), "topics must be finite"),
        (([[1, 2]], np.ones((0, 2))), "no document"),
        (([[1, 2]], np.ones((3, 2)), "u_mass", 3), "n_words must be 2 to 2"),
        (([[1, 2]], np.ones((3, 2)), "u_mass", 1), "n_words must be 2 to 2"),
    ],
)
def test_bad_input(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coherence(*arguments)
