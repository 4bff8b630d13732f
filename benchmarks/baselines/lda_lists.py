"""The E-step of latent Dirichlet allocation for one document, in lists and loops.

The inner loop of Hoffman, Blei, Bach: Online learning for latent Dirichlet allocation, 2010.
"""

from __future__ import annotations

from math import exp, log

Vector = list[float]
Matrix = list[list[float]]


def digamma(x: float) -> float:
    """Return the derivative of log Gamma at x > 0, by its recurrence and asymptotic series."""
    below = 0.0
    while x < 10.0:
        below += 1.0 / x
        x += 1.0
    t = 1.0 / (x * x)
    terms = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
    series = 0.0
    for c in reversed(terms):
        series = (series + c) * t
    return log(x) - 0.5 / x - series - below


def e_step(
    documents: list[list[tuple[int, float]]], topics: Matrix, alpha: Vector, inner: int
) -> tuple[Matrix, Matrix]:
    """Return gamma of each document and the expected counts of words and topics.

    documents: pairs of a word and its count; topics: a row of probabilities a word.
    """
    states = range(len(alpha))
    expected = [[0.0] * len(alpha) for _ in topics]
    gammas = []
    for document in documents:
        gamma = [1.0] * len(alpha)
        shares = [exp(digamma(g)) for g in gamma]
        for _ in range(inner):
            totals = [0.0] * len(alpha)
            for word, count in document:
                row = topics[word]
                ratio = count / sum(shares[k] * row[k] for k in states)
                for k in states:
                    totals[k] += ratio * row[k]
            gamma = [alpha[k] + shares[k] * totals[k] for k in states]
            shares = [exp(digamma(g)) for g in gamma]
        for word, count in document:
            row = topics[word]
            ratio = count / sum(shares[k] * row[k] for k in states)
            for k in states:
                expected[word][k] += ratio * shares[k] * row[k]
        gammas.append(gamma)
    return gammas, expected
