# cython: language_level=3
"""Local steps of latent variable models for Cython code, without the GIL.

``cimport vemfast.kernels`` (or names from it) in a ``.pyx``; there is nothing here to call from
Python, whose users have `vemfast.special` and the estimators.  Arrays are pointers to contiguous
float64 numbers, matrices row by row.  A call runs on the thread that makes it, keeps no state and
may be made from many threads at once (``prange``).  It returns a status, `OK` or what is wrong,
which `message` puts into words; after an error the outputs mean nothing.

=============================  ====================================================================
``digamma`` ``exp_digamma``    special functions of one number, and (``..._array``) of many
``lgamma`` ``logsumexp_rows``
``responsibilities``           posteriors of a mixture's components from log joints
``gaussian_responsibilities``  the same from rows and the parameters of Gaussians
``forward_backward``           posteriors of the states of a hidden Markov chain, and of pairs
``viterbi``                    its most probable path
``lda_document``               q(theta) and shares of the topics in one document
=============================  ====================================================================
"""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t


cdef extern from "vemfast/kernels.h" nogil:
    const char* vemfast_kernel_message(int status)
    double vemfast_digamma(double x)
    double vemfast_exp_digamma(double x)
    double vemfast_lgamma(double x)
    int vemfast_exp_array(const double* x, ptrdiff_t n, double* out)
    int vemfast_log_array(const double* x, ptrdiff_t n, double* out)
    int vemfast_digamma_array(const double* x, ptrdiff_t n, double* out)
    int vemfast_exp_digamma_array(const double* x, ptrdiff_t n, double* out)
    int vemfast_lgamma_array(const double* x, ptrdiff_t n, double* out)
    int vemfast_logsumexp_rows(const double* scores, ptrdiff_t n, ptrdiff_t K, double* out)
    int vemfast_responsibilities(
        const double* log_joint, ptrdiff_t n, ptrdiff_t K, double* responsibilities,
        double* log_density)
    int vemfast_gaussian_responsibilities(
        const double* X, ptrdiff_t n, ptrdiff_t D, ptrdiff_t K, int covariance_type,
        const double* weights, const double* means, const double* covariances,
        double* responsibilities, double* log_density)
    int vemfast_forward_backward(
        const double* start, const double* transitions, const double* log_likelihood, ptrdiff_t T,
        ptrdiff_t K, double* posteriors, double* pairs, double* log_evidence)
    int vemfast_viterbi(
        const double* start, const double* transitions, const double* log_likelihood, ptrdiff_t T,
        ptrdiff_t K, int32_t* states, double* log_joint)
    int vemfast_lda_document(
        const double* topics, ptrdiff_t n_words, ptrdiff_t K, const int32_t* words,
        const double* counts, ptrdiff_t n, const double* alpha, int max_inner, double inner_tol,
        int is_warm, double* gamma, double* shares, double* log_theta, double* bound)


cdef const char* message(int status) noexcept nogil:
    """Say what a status means, in English; never NULL."""
    return vemfast_kernel_message(status)


cdef double digamma(double x) noexcept nogil:
    """The derivative of log Gamma at x > 0; -inf at 0, NaN below."""
    return vemfast_digamma(x)


cdef double exp_digamma(double x) noexcept nogil:
    """exp(digamma(x)), x >= 0."""
    return vemfast_exp_digamma(x)


cdef double lgamma(double x) noexcept nogil:
    """log |Gamma(x)|, from any thread."""
    return vemfast_lgamma(x)


cdef int exp_array(const double* x, Py_ssize_t n, double* out) noexcept nogil:
    """out[i] = exp(x[i]), i < n; `out` may be `x`, here and in the next four."""
    return vemfast_exp_array(x, n, out)


cdef int log_array(const double* x, Py_ssize_t n, double* out) noexcept nogil:
    """out[i] = log(x[i]), i < n."""
    return vemfast_log_array(x, n, out)


cdef int digamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil:
    """out[i] = digamma(x[i]), i < n."""
    return vemfast_digamma_array(x, n, out)


cdef int exp_digamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil:
    """out[i] = exp(digamma(x[i])), i < n."""
    return vemfast_exp_digamma_array(x, n, out)


cdef int lgamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil:
    """out[i] = log Gamma(x[i]), i < n."""
    return vemfast_lgamma_array(x, n, out)


cdef int logsumexp_rows(
    const double* scores, Py_ssize_t n, Py_ssize_t K, double* out
) noexcept nogil:
    """out[i] = log sum_k exp(scores[i, k]): scores n x K, out n."""
    return vemfast_logsumexp_rows(scores, n, K, out)


cdef int responsibilities(
    const double* log_joint, Py_ssize_t n, Py_ssize_t K, double* responsibilities,
    double* log_density
) noexcept nogil:
    """Turn log joints of rows and components into responsibilities.

    Parameters
    ----------
    log_joint : n x K
        log weight + log density; -inf is a probability of zero.
    responsibilities : n x K, out
        May be `log_joint`.  Zeros in a row that no component can have made.
    log_density : n, out, optional
        log sum_k exp(log_joint[i, k]), nats a row.
    """
    return vemfast_responsibilities(log_joint, n, K, responsibilities, log_density)


cdef int gaussian_responsibilities(
    const double* X, Py_ssize_t n, Py_ssize_t D, Py_ssize_t K, int covariance_type,
    const double* weights, const double* means, const double* covariances,
    double* responsibilities, double* log_density
) noexcept nogil:
    """Responsibilities of a mixture of Gaussians.

    Parameters
    ----------
    X : n x D
    covariance_type : CovarianceType
    weights : K
    means : K x D
    covariances : K x D x D (FULL), D x D (TIED), K x D (DIAG), K (SPHERICAL), 1 (TIED_SPHERICAL)
    responsibilities : n x K, out, optional
    log_density : n, out, optional
        Nats a row.

    Notes
    -----
    Each call factorises the covariances, O(K D^3): give it hundreds of rows at a time.
    """
    return vemfast_gaussian_responsibilities(
        X, n, D, K, covariance_type, weights, means, covariances, responsibilities, log_density)


cdef int forward_backward(
    const double* start, const double* transitions, const double* log_likelihood, Py_ssize_t T,
    Py_ssize_t K, double* posteriors, double* pairs, double* log_evidence
) noexcept nogil:
    """Posteriors of one sequence's states, whatever its emissions are.

    Parameters
    ----------
    start : K
    transitions : K x K, row i from state i
        Not negative; nothing needs to sum to one.
    log_likelihood : T x K
        log p(x_t | state k).
    posteriors : T x K, out, optional
        p(z_t = k | x).
    pairs : K x K, out, optional
        sum_t p(z_t = i, z_t+1 = j | x).
    log_evidence : 1, out, optional
        log p(x), nats.
    """
    return vemfast_forward_backward(
        start, transitions, log_likelihood, T, K, posteriors, pairs, log_evidence)


cdef int viterbi(
    const double* start, const double* transitions, const double* log_likelihood, Py_ssize_t T,
    Py_ssize_t K, int32_t* states, double* log_joint
) noexcept nogil:
    """The most probable path of one sequence; of equally good states the lowest.

    Parameters
    ----------
    start, transitions, log_likelihood
        As of `forward_backward`.
    states : T, out
    log_joint : 1, out, optional
        log p(x, path), nats.
    """
    return vemfast_viterbi(start, transitions, log_likelihood, T, K, states, log_joint)


cdef int lda_document(
    const double* topics, Py_ssize_t n_words, Py_ssize_t K, const int32_t* words,
    const double* counts, Py_ssize_t n, const double* alpha, int max_inner, double inner_tol,
    bint is_warm, double* gamma, double* shares, double* log_theta, double* bound
) noexcept nogil:
    """The E-step of one document of latent Dirichlet allocation: q(theta) = Dirichlet(gamma).

    Parameters
    ----------
    topics : n_words x K
        Row w: p(word w | topic k), or exp(E[log beta_wk]) of a posterior.
    words : n
        Distinct words of the document.
    counts : n
        Positive.
    alpha : K
        Positive.
    max_inner, inner_tol
        It ends after so many steps, or when gamma moves by less in the mean.
    is_warm
        Whether to start from what stands in `gamma`.
    gamma : K, out (and in)
    shares : n x K, out, optional
        counts_i p(topic k | word i): what the M-step sums by word.
    log_theta : K, out, optional
        E[log theta].
    bound : 1, out, optional
        The document's share of the evidence lower bound, nats.
    """
    return vemfast_lda_document(
        topics, n_words, K, words, counts, n, alpha, max_inner, inner_tol, is_warm, gamma, shares,
        log_theta, bound)
