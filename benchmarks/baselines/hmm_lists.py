"""EM for a hidden Markov model with diagonal Gaussian emissions, in lists and loops.

The scaled recursions of L. R. Rabiner: A tutorial on hidden Markov models, Proc. IEEE 77, 1989,
with each step's likelihoods taken relative to the best, so that none underflows.
"""

from __future__ import annotations

from math import exp, log, pi

Vector = list[float]
Matrix = list[list[float]]


def likelihoods(x: Vector, means: Matrix, variances: Matrix) -> tuple[Vector, float]:
    """Return the likelihoods of one step under the states, relative to the best, and its log."""
    scores = []
    for mean, variance in zip(means, variances, strict=True):
        score = 0.0
        for value, m, v in zip(x, mean, variance, strict=True):
            score -= 0.5 * (log(2 * pi * v) + (value - m) * (value - m) / v)
        scores.append(score)
    top = max(scores)
    return [exp(s - top) for s in scores], top


def forward(
    rows: Matrix, start: Vector, transitions: Matrix, means: Matrix, variances: Matrix
) -> tuple[Matrix, Matrix, Vector, float]:
    """Return p(z_t | x_1..t), the likelihoods, the scales and the log likelihood."""
    states = range(len(start))
    filtered: Matrix = []
    emitted: Matrix = []
    scales: Vector = []
    total = 0.0
    predicted = start
    for x in rows:
        b, top = likelihoods(x, means, variances)
        joint = [p * q for p, q in zip(predicted, b, strict=True)]
        scale = sum(joint)
        a = [p / scale for p in joint]
        predicted = [sum(a[i] * transitions[i][j] for i in states) for j in states]
        filtered.append(a)
        emitted.append(b)
        scales.append(scale)
        total += log(scale) + top
    return filtered, emitted, scales, total


def em_step(
    rows: Matrix, start: Vector, transitions: Matrix, means: Matrix, variances: Matrix
) -> tuple[Vector, Matrix, Matrix, Matrix, float]:
    """Return new parameters from one sequence, and the log likelihood at the old ones (nats)."""
    k, d = len(start), len(rows[0])
    states = range(k)
    filtered, emitted, scales, total = forward(rows, start, transitions, means, variances)
    counts = [0.0] * k
    sums = [[0.0] * d for _ in states]
    squares = [[0.0] * d for _ in states]
    pairs = [[0.0] * k for _ in states]
    backward = [1.0] * k
    gamma: Vector = []
    for t in reversed(range(len(rows))):
        gamma = [a * h for a, h in zip(filtered[t], backward, strict=True)]
        for j in states:
            counts[j] += gamma[j]
            for i, value in enumerate(rows[t]):
                sums[j][i] += gamma[j] * value
                squares[j][i] += gamma[j] * value * value
        if t == 0:
            break
        later = [b * h / scales[t] for b, h in zip(emitted[t], backward, strict=True)]
        for i in states:
            for j in states:
                pairs[i][j] += filtered[t - 1][i] * transitions[i][j] * later[j]
        backward = [sum(transitions[i][j] * later[j] for j in states) for i in states]
    means = [[s / c for s in row] for row, c in zip(sums, counts, strict=True)]
    variances = [
        [s / c - m * m for s, m in zip(row, mean, strict=True)]
        for row, c, mean in zip(squares, counts, means, strict=True)
    ]
    return gamma, [[p / sum(row) for p in row] for row in pairs], means, variances, total
