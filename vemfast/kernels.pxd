"""Local steps of latent variable models without the GIL: ``cimport vemfast.kernels``.

Arrays are pointers to contiguous float64 numbers (``&x[0, 0]`` of a typed memoryview), matrices row
by row; the number of components, states or topics, K, comes last.  Functions of arrays return
`OK` or another `Status`; `message` says what it means.  Outputs marked optional may be NULL.
What each function computes stands in its docstring in ``vemfast/kernels.pyx``; the same functions
for C and C++ are in the header ``vemfast/kernels.h``.
"""

from libc.stdint cimport int32_t

cdef enum Status:
    OK = 0          # no error
    NULL_ARRAY = 1  # an array that is not optional is NULL
    BAD_SIZE = 2    # a size is negative or zero, or a covariance type unknown
    BAD_VALUE = 3   # NaN, infinity, a negative probability, count or alpha
    BAD_INDEX = 4   # a word is not in 0..n_words-1
    SINGULAR = 5    # a covariance is not positive definite
    IMPOSSIBLE = 6  # no path, or no topic, can have made the data
    NO_MEMORY = 7
    FAILED = 8      # the library cannot run here

cdef enum CovarianceType:
    FULL = 0            # K x D x D
    TIED = 1            # D x D
    DIAG = 2            # K x D
    SPHERICAL = 3       # K
    TIED_SPHERICAL = 4  # 1

cdef const char* message(int status) noexcept nogil

cdef double digamma(double x) noexcept nogil
cdef double exp_digamma(double x) noexcept nogil
cdef double lgamma(double x) noexcept nogil

cdef int exp_array(const double* x, Py_ssize_t n, double* out) noexcept nogil
cdef int log_array(const double* x, Py_ssize_t n, double* out) noexcept nogil
cdef int digamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil
cdef int exp_digamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil
cdef int lgamma_array(const double* x, Py_ssize_t n, double* out) noexcept nogil
cdef int logsumexp_rows(
    const double* scores, Py_ssize_t n, Py_ssize_t K, double* out
) noexcept nogil

cdef int responsibilities(
    const double* log_joint, Py_ssize_t n, Py_ssize_t K, double* responsibilities,
    double* log_density
) noexcept nogil
cdef int gaussian_responsibilities(
    const double* X, Py_ssize_t n, Py_ssize_t D, Py_ssize_t K, int covariance_type,
    const double* weights, const double* means, const double* covariances,
    double* responsibilities, double* log_density
) noexcept nogil

cdef int forward_backward(
    const double* start, const double* transitions, const double* log_likelihood, Py_ssize_t T,
    Py_ssize_t K, double* posteriors, double* pairs, double* log_evidence
) noexcept nogil
cdef int viterbi(
    const double* start, const double* transitions, const double* log_likelihood, Py_ssize_t T,
    Py_ssize_t K, int32_t* states, double* log_joint
) noexcept nogil

cdef int lda_document(
    const double* topics, Py_ssize_t n_words, Py_ssize_t K, const int32_t* words,
    const double* counts, Py_ssize_t n, const double* alpha, int max_inner, double inner_tol,
    bint is_warm, double* gamma, double* shares, double* log_theta, double* bound
) noexcept nogil
