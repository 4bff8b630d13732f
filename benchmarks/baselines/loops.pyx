# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The steps of `*_lists.py` in Cython: typed memoryviews, plain loops, one thread."""

import numpy as np

from libc.math cimport exp, log, pi


def gaussian_mixture(
    const double[:, ::1] rows, const double[::1] weights, const double[:, ::1] means,
    const double[:, :, ::1] covariances
):
    """Return weights, means and covariances after one EM step, and the log likelihood before it."""
    cdef Py_ssize_t n = rows.shape[0], d = rows.shape[1], k = weights.shape[0], r, c, i, j
    cdef double[:, :, ::1] lower = np.linalg.cholesky(covariances)
    cdef double[::1] constant = np.empty(k), scores = np.empty(k), y = np.empty(d)
    cdef double[::1] counts = np.zeros(k)
    cdef double[:, ::1] sums = np.zeros((k, d))
    cdef double[:, :, ::1] scatter = np.zeros((k, d, d))
    cdef double total, top, rest, weighted, log_likelihood = 0.0
    for c in range(k):
        constant[c] = log(weights[c]) - 0.5 * d * log(2 * pi)
        for i in range(d):
            constant[c] -= log(lower[c, i, i])
    with nogil:
        for r in range(n):
            top = -1e300
            for c in range(k):
                scores[c] = constant[c]
                for i in range(d):
                    rest = rows[r, i] - means[c, i]
                    for j in range(i):
                        rest -= lower[c, i, j] * y[j]
                    y[i] = rest / lower[c, i, i]
                    scores[c] -= 0.5 * y[i] * y[i]
                top = max(top, scores[c])
            total = 0.0
            for c in range(k):
                scores[c] = exp(scores[c] - top)
                total += scores[c]
            log_likelihood += top + log(total)
            for c in range(k):
                scores[c] /= total
                counts[c] += scores[c]
                for i in range(d):
                    weighted = scores[c] * rows[r, i]
                    sums[c, i] += weighted
                    for j in range(i + 1):
                        scatter[c, i, j] += weighted * rows[r, j]
        for c in range(k):
            for i in range(d):
                sums[c, i] /= counts[c]
            for i in range(d):
                for j in range(i + 1):
                    scatter[c, i, j] = scatter[c, i, j] / counts[c] - sums[c, i] * sums[c, j]
                    scatter[c, j, i] = scatter[c, i, j]
    return np.asarray(counts) / n, np.asarray(sums), np.asarray(scatter), log_likelihood


def hidden_markov(
    const double[:, ::1] rows, const double[::1] start, const double[:, ::1] transitions,
    const double[:, ::1] means, const double[:, ::1] variances
):
    """Return new parameters from one sequence, and the log likelihood at the old ones."""
    cdef Py_ssize_t T = rows.shape[0], d = rows.shape[1], k = start.shape[0], t, i, j
    cdef double[:, ::1] a = np.empty((T, k)), b = np.empty((T, k))
    cdef double[::1] scales = np.empty(T), backward = np.ones(k), later = np.empty(k)
    cdef double[::1] gamma = np.empty(k), counts = np.zeros(k), constant = np.zeros(k)
    cdef double[:, ::1] sums = np.zeros((k, d)), squares = np.zeros((k, d)), pairs = np.zeros((k, k))
    cdef double top, value, total = 0.0
    for j in range(k):
        for i in range(d):
            constant[j] -= 0.5 * log(2 * pi * variances[j, i])
    with nogil:
        for t in range(T):
            top = -1e300
            for j in range(k):
                b[t, j] = constant[j]
                for i in range(d):
                    value = rows[t, i] - means[j, i]
                    b[t, j] -= 0.5 * value * value / variances[j, i]
                top = max(top, b[t, j])
            scales[t] = 0.0
            for j in range(k):
                b[t, j] = exp(b[t, j] - top)
                value = start[j]
                if t > 0:
                    value = 0.0
                    for i in range(k):
                        value += a[t - 1, i] * transitions[i, j]
                a[t, j] = value * b[t, j]
                scales[t] += a[t, j]
            for j in range(k):
                a[t, j] /= scales[t]
            total += log(scales[t]) + top
        for t in range(T - 1, -1, -1):
            for j in range(k):
                gamma[j] = a[t, j] * backward[j]
                counts[j] += gamma[j]
                for i in range(d):
                    sums[j, i] += gamma[j] * rows[t, i]
                    squares[j, i] += gamma[j] * rows[t, i] * rows[t, i]
            if t == 0:
                break
            for j in range(k):
                later[j] = b[t, j] * backward[j] / scales[t]
            for i in range(k):
                value = 0.0
                for j in range(k):
                    pairs[i, j] += a[t - 1, i] * transitions[i, j] * later[j]
                    value += transitions[i, j] * later[j]
                backward[i] = value
    counted = np.asarray(counts)[:, None]
    mean, pair = np.asarray(sums) / counted, np.asarray(pairs)
    variance = np.asarray(squares) / counted - mean**2
    return np.asarray(gamma), pair / pair.sum(axis=1, keepdims=True), mean, variance, total


cdef double digamma(double x) noexcept nogil:
    cdef double below = 0.0, t
    while x < 10.0:
        below += 1.0 / x
        x += 1.0
    t = 1.0 / (x * x)
    return log(x) - 0.5 / x - below - t * (
        1.0 / 12 - t * (1.0 / 120 - t * (1.0 / 252 - t * (1.0 / 240 - t * (
            1.0 / 132 - t * (691.0 / 32760 - t / 12))))))


def dirichlet_allocation(
    const long long[::1] ends, const int[::1] words, const double[::1] given,
    const double[:, ::1] topics, const double[::1] alpha, int inner
):
    """Return gamma of each document and the expected counts of words and topics.

    Entries ends[d] to ends[d + 1] of words and given (counts) are those of document d.
    """
    cdef Py_ssize_t n = ends.shape[0] - 1, k = alpha.shape[0], d, e, j
    cdef double[:, ::1] gamma = np.ones((n, k)), expected = np.zeros((topics.shape[0], k))
    cdef double[::1] shares = np.empty(k), totals = np.empty(k)
    cdef double norm
    cdef int step
    with nogil:
        for d in range(n):
            for step in range(inner + 1):
                for j in range(k):
                    shares[j] = exp(digamma(gamma[d, j]))
                    totals[j] = 0.0
                for e in range(ends[d], ends[d + 1]):
                    norm = 0.0
                    for j in range(k):
                        norm += shares[j] * topics[words[e], j]
                    if step < inner:
                        for j in range(k):
                            totals[j] += given[e] / norm * topics[words[e], j]
                    else:
                        for j in range(k):
                            expected[words[e], j] += given[e] / norm * shares[j] * topics[words[e], j]
                if step < inner:
                    for j in range(k):
                        gamma[d, j] = alpha[j] + shares[j] * totals[j]
    return np.asarray(gamma), np.asarray(expected)


cdef void _sums(
    const double* x, Py_ssize_t n, const double[:, ::1] W, const double[::1] b, double* out
) noexcept nogil:
    cdef Py_ssize_t i, j, m = W.shape[1]
    for j in range(m):
        out[j] = b[j]
    for i in range(n):
        if x[i] != 0.0:
            for j in range(m):
                out[j] += x[i] * W[i, j]


cdef void _backward(
    const double* x, const double* of_out, Py_ssize_t n, const double[:, ::1] W, double[:, ::1] dW,
    double[::1] db, double* of_x
) noexcept nogil:
    cdef Py_ssize_t i, j, m = W.shape[1]
    cdef double total
    for i in range(n):
        total = 0.0
        for j in range(m):
            dW[i, j] += x[i] * of_out[j]
            total += W[i, j] * of_out[j]
        of_x[i] = total
    for j in range(m):
        db[j] += of_out[j]


def autoencoder(const double[:, ::1] rows, layers, const double[:, ::1] noise):
    """Return the sum of the rows' bounds, and its gradient by the weights of four layers."""
    cdef Py_ssize_t n = rows.shape[0], d = rows.shape[1], k = noise.shape[1], r, i
    cdef const double[:, ::1] W0 = layers[0][0], W1 = layers[1][0]
    cdef const double[:, ::1] W2 = layers[2][0], W3 = layers[3][0]
    cdef const double[::1] b0 = layers[0][1], b1 = layers[1][1]
    cdef const double[::1] b2 = layers[2][1], b3 = layers[3][1]
    cdef Py_ssize_t h = W0.shape[1]
    gradient = [(np.zeros(np.shape(W)), np.zeros(np.shape(b))) for W, b in layers]
    cdef double[:, ::1] dW0 = gradient[0][0], dW1 = gradient[1][0]
    cdef double[:, ::1] dW2 = gradient[2][0], dW3 = gradient[3][0]
    cdef double[::1] db0 = gradient[0][1], db1 = gradient[1][1]
    cdef double[::1] db2 = gradient[2][1], db3 = gradient[3][1]
    cdef double[::1] hidden = np.empty(h), above = np.empty(h), of_hidden = np.empty(h)
    cdef double[::1] q = np.empty(2 * k), of_q = np.empty(2 * k), z = np.empty(k), of_z = np.empty(k)
    cdef double[::1] logits = np.empty(d), of_x = np.empty(d)
    cdef double bound = 0.0, a, s, spread
    with nogil:
        for r in range(n):
            _sums(&rows[r, 0], d, W0, b0, &hidden[0])
            for i in range(h):
                hidden[i] = max(hidden[i], 0.0)
            _sums(&hidden[0], h, W1, b1, &q[0])
            for i in range(k):
                z[i] = q[i] + exp(0.5 * q[k + i]) * noise[r, i]
                s = q[k + i]
                bound -= 0.5 * (q[i] * q[i] + exp(s) - 1.0 - s)
            _sums(&z[0], k, W2, b2, &above[0])
            for i in range(h):
                above[i] = max(above[i], 0.0)
            _sums(&above[0], h, W3, b3, &logits[0])
            for i in range(d):
                a = logits[i]
                bound += rows[r, i] * a - max(a, 0.0) - log(1.0 + exp(-abs(a)))
                logits[i] = rows[r, i] - 1.0 / (1.0 + exp(-a))
            _backward(&above[0], &logits[0], h, W3, dW3, db3, &of_hidden[0])
            for i in range(h):
                of_hidden[i] = of_hidden[i] if above[i] > 0 else 0.0
            _backward(&z[0], &of_hidden[0], k, W2, dW2, db2, &of_z[0])
            for i in range(k):
                spread = exp(0.5 * q[k + i])
                of_q[i] = of_z[i] - q[i]
                of_q[k + i] = 0.5 * (of_z[i] * spread * noise[r, i] - (spread * spread - 1.0))
            _backward(&hidden[0], &of_q[0], h, W1, dW1, db1, &of_hidden[0])
            for i in range(h):
                of_hidden[i] = of_hidden[i] if hidden[i] > 0 else 0.0
            _backward(&rows[r, 0], &of_hidden[0], d, W0, dW0, db0, &of_x[0])
    return bound, gradient
