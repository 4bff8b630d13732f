"""EM for a full-covariance Gaussian mixture in lists and loops: a program without arrays.

Rows, means and weights are lists of floats, covariances lists of rows. The formulas are the
textbook ones (Bishop, Pattern Recognition and Machine Learning, 2006, section 9.2.2), with a
Cholesky factor in place of the inverse.
"""

from __future__ import annotations

from math import exp, log, pi, sqrt

Vector = list[float]
Matrix = list[list[float]]


def cholesky(a: Matrix) -> Matrix:
    """Return the lower factor L of a positive definite matrix, a = L L^T."""
    lower = [[0.0] * len(a) for _ in a]
    for i, row in enumerate(lower):
        for j in range(i + 1):
            rest = a[i][j] - sum(row[m] * lower[j][m] for m in range(j))
            row[j] = sqrt(rest) if i == j else rest / lower[j][j]
    return lower


def log_normal(x: Vector, mean: Vector, lower: Matrix) -> float:
    """Return the log density of one row, by forward substitution."""
    solved: Vector = []
    log_density = -0.5 * len(x) * log(2 * pi)
    for i, row in enumerate(lower):
        y = (x[i] - mean[i] - sum(row[m] * solved[m] for m in range(i))) / row[i]
        solved.append(y)
        log_density -= log(row[i]) + 0.5 * y * y
    return log_density


def responsibilities(
    x: Vector, weights: Vector, means: Matrix, factors: list[Matrix]
) -> tuple[Vector, float]:
    """Return one row's posterior probabilities of the components, and its log likelihood."""
    scores = [log(w) + log_normal(x, m, f) for w, m, f in zip(weights, means, factors, strict=True)]
    top = max(scores)
    shares = [exp(s - top) for s in scores]
    total = sum(shares)
    return [s / total for s in shares], top + log(total)


def em_step(
    rows: Matrix, weights: Vector, means: Matrix, covariances: list[Matrix], reg_covar: float = 1e-6
) -> tuple[Vector, Matrix, list[Matrix], float]:
    """Return new weights, means and covariances, and the log likelihood at the old ones (nats)."""
    k, d = len(weights), len(rows[0])
    factors = [cholesky(c) for c in covariances]
    counts = [0.0] * k
    sums = [[0.0] * d for _ in range(k)]
    scatter = [[[0.0] * d for _ in range(d)] for _ in range(k)]
    log_likelihood = 0.0
    for x in rows:
        r, row_log_likelihood = responsibilities(x, weights, means, factors)
        log_likelihood += row_log_likelihood
        for j in range(k):
            counts[j] += r[j]
            for i in range(d):
                weighted = r[j] * x[i]
                sums[j][i] += weighted
                for m in range(i + 1):
                    scatter[j][i][m] += weighted * x[m]
    weights = [c / len(rows) for c in counts]
    means = [[s / c for s in total] for total, c in zip(sums, counts, strict=True)]
    for j, mean in enumerate(means):
        for i in range(d):
            for m in range(i + 1):
                value = scatter[j][i][m] / counts[j] - mean[i] * mean[m]
                scatter[j][i][m] = scatter[j][m][i] = value
            scatter[j][i][i] += reg_covar
    return weights, means, scatter, log_likelihood
