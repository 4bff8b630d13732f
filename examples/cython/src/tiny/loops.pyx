# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Three local steps of one's own loops, over ``vemfast.kernels``."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport log
from libc.stdint cimport int32_t

from vemfast cimport kernels


cdef void check(int status) except *:
    if status != kernels.OK:
        raise ValueError((<bytes>kernels.message(status)).decode())


def exponential_mixture(const double[::1] x, double[::1] weights, double[::1] rates, int steps):
    """Fit a mixture of exponential densities by EM; returns the log likelihood of each step.

    x : n; weights, rates : K, changed in place.
    """
    cdef Py_ssize_t n = x.shape[0], K = weights.shape[0], i, k
    cdef double[:, ::1] r = np.empty((n, K))
    cdef double[::1] density = np.empty(n)
    cdef double count, total
    trace = []
    for _ in range(steps):
        with nogil:
            for i in range(n):
                for k in range(K):
                    r[i, k] = log(weights[k]) + log(rates[k]) - rates[k] * x[i]
            status = kernels.responsibilities(&r[0, 0], n, K, &r[0, 0], &density[0])
        check(status)
        trace.append(np.sum(density))
        for k in range(K):
            count = total = 0.0
            for i in range(n):
                count += r[i, k]
                total += r[i, k] * x[i]
            weights[k] = count / n
            rates[k] = count / total
    return trace


def smooth_all(
    const double[::1] start, const double[:, ::1] transitions, const double[:, :, ::1] scores
):
    """Smooth many sequences in parallel: posteriors, best paths and log evidences.

    scores : n_sequences x T x K of log likelihoods.
    """
    cdef Py_ssize_t S = scores.shape[0], T = scores.shape[1], K = scores.shape[2], s
    cdef double[:, :, ::1] posteriors = np.empty((S, T, K))
    cdef int32_t[:, ::1] paths = np.empty((S, T), dtype=np.int32)
    cdef double[::1] evidence = np.empty(S)
    cdef int[::1] status = np.zeros(S, dtype=np.intc)
    for s in prange(S, nogil=True):
        status[s] = kernels.forward_backward(
            &start[0], &transitions[0, 0], &scores[s, 0, 0], T, K, &posteriors[s, 0, 0], NULL,
            &evidence[s])
        if status[s] == kernels.OK:
            status[s] = kernels.viterbi(
                &start[0], &transitions[0, 0], &scores[s, 0, 0], T, K, &paths[s, 0], NULL)
    for s in range(S):
        check(status[s])
    return np.asarray(posteriors), np.asarray(paths), np.asarray(evidence)


def proportions(
    const double[:, ::1] topics, const int32_t[::1] words, const double[::1] counts,
    const double[::1] alpha
):
    """Infer one document's topic proportions: gamma of q(theta), and the bound.

    topics : V x K; words, counts : n; alpha : K.
    """
    cdef Py_ssize_t K = topics.shape[1]
    cdef double[::1] gamma = np.empty(K)
    cdef double bound = 0.0
    with nogil:
        status = kernels.lda_document(
            &topics[0, 0], topics.shape[0], K, &words[0], &counts[0], words.shape[0], &alpha[0],
            200, 1e-8, False, &gamma[0], NULL, NULL, &bound)
    check(status)
    return np.asarray(gamma), bound


def special(double x):
    """Return digamma, exp(digamma) and log Gamma of one number."""
    return kernels.digamma(x), kernels.exp_digamma(x), kernels.lgamma(x)
