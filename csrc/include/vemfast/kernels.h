/* The local steps of the library as plain C functions over arrays of doubles: what a program needs
 * that has an EM loop of its own. No state, no allocation that outlives a call, no exception; each
 * call runs on the thread that makes it, so they may be made from many threads at once.
 *
 * Matrices are contiguous, row by row; K, the number of components, states or topics, comes last.
 * Logarithms are natural. Outputs called optional may be null, and may not overlap inputs. A
 * function that returns a status other than VEMFAST_KERNEL_OK may have written to its outputs, but
 * what stands there means nothing.
 *
 * cimport vemfast.kernels gives the same functions to Cython. */
#ifndef VEMFAST_KERNELS_H
#define VEMFAST_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define VEMFAST_C_API
#else
#define VEMFAST_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum vemfast_kernel_status {
    VEMFAST_KERNEL_OK = 0,
    VEMFAST_KERNEL_NULL = 1,       /* an array that is not optional is a null pointer */
    VEMFAST_KERNEL_SIZE = 2,       /* a size is negative or zero, or a covariance type unknown */
    VEMFAST_KERNEL_VALUE = 3,      /* NaN, infinity, a negative probability, count or alpha */
    VEMFAST_KERNEL_INDEX = 4,      /* a word is not in 0..n_words-1 */
    VEMFAST_KERNEL_SINGULAR = 5,   /* a covariance is not positive definite */
    VEMFAST_KERNEL_IMPOSSIBLE = 6, /* no path, or no topic, can have made the data */
    VEMFAST_KERNEL_MEMORY = 7,     /* out of memory */
    VEMFAST_KERNEL_FAILED = 8      /* the library cannot run here (see VEMFAST_ISA) */
};

enum vemfast_kernel_covariance {
    VEMFAST_KERNEL_FULL = 0,           /* K x D x D */
    VEMFAST_KERNEL_TIED = 1,           /* D x D */
    VEMFAST_KERNEL_DIAG = 2,           /* K x D */
    VEMFAST_KERNEL_SPHERICAL = 3,      /* K */
    VEMFAST_KERNEL_TIED_SPHERICAL = 4, /* 1 */
};

/* What a status means, in English; never null. */
VEMFAST_C_API const char* vemfast_kernel_message(int status);

/* ---- special functions ------------------------------------------------------------------- */

/* Of one number. digamma and exp_digamma (the exponential of digamma) are for x >= 0. */
VEMFAST_C_API double vemfast_digamma(double x);
VEMFAST_C_API double vemfast_exp_digamma(double x);
VEMFAST_C_API double vemfast_lgamma(double x);

/* out[i] = f(x[i]), i < n; `out` may be `x`. NaN goes through. */
VEMFAST_C_API int vemfast_exp_array(const double* x, ptrdiff_t n, double* out);
VEMFAST_C_API int vemfast_log_array(const double* x, ptrdiff_t n, double* out);
VEMFAST_C_API int vemfast_digamma_array(const double* x, ptrdiff_t n, double* out);
VEMFAST_C_API int vemfast_exp_digamma_array(const double* x, ptrdiff_t n, double* out);
VEMFAST_C_API int vemfast_lgamma_array(const double* x, ptrdiff_t n, double* out);

/* out[i] = log sum_k exp(scores[i, k]): scores n x K, out n. */
VEMFAST_C_API int vemfast_logsumexp_rows(const double* scores, ptrdiff_t n, ptrdiff_t K,
                                         double* out);

/* ---- mixtures ---------------------------------------------------------------------------- */

/* From the log joints of rows and components, log(weight_k) + log p(row_i | k), to posteriors.
 *   log_joint         n x K; -inf is a zero probability
 *   responsibilities  n x K, may be log_joint; zeros in a row that no component can have made
 *   log_density       n, optional: log sum_k exp(log_joint[i, k]) */
VEMFAST_C_API int vemfast_responsibilities(const double* log_joint, ptrdiff_t n, ptrdiff_t K,
                                           double* responsibilities, double* log_density);

/* The same for a mixture of Gaussians, from the rows themselves.
 *   X            n x D
 *   weights      K, >= 0
 *   means        K x D
 *   covariances  in the shape of the covariance type
 *   responsibilities  n x K, optional
 *   log_density       n, optional
 * A call factorises the covariances, O(K D^3): give it hundreds of rows at a time. */
VEMFAST_C_API int vemfast_gaussian_responsibilities(const double* X, ptrdiff_t n, ptrdiff_t D,
                                                    ptrdiff_t K, int covariance_type,
                                                    const double* weights, const double* means,
                                                    const double* covariances,
                                                    double* responsibilities, double* log_density);

/* ---- hidden Markov chains ---------------------------------------------------------------- */

/* Forward-backward over one sequence, whatever its emissions are.
 *   start           K, >= 0
 *   transitions     K x K, row i: from state i, >= 0; nothing needs to sum to one
 *   log_likelihood  T x K: log p(x_t | state k); -inf is a zero probability
 *   posteriors      T x K, optional: p(z_t = k | x)
 *   pairs           K x K, optional: sum_t p(z_t = i, z_t+1 = j | x)
 *   log_evidence    1, optional: log p(x) */
VEMFAST_C_API int vemfast_forward_backward(const double* start, const double* transitions,
                                           const double* log_likelihood, ptrdiff_t T, ptrdiff_t K,
                                           double* posteriors, double* pairs, double* log_evidence);

/* The most probable path of one sequence; of equally good states the lowest.
 *   states     T
 *   log_joint  1, optional: log p(x, path) */
VEMFAST_C_API int vemfast_viterbi(const double* start, const double* transitions,
                                  const double* log_likelihood, ptrdiff_t T, ptrdiff_t K,
                                  int32_t* states, double* log_joint);

/* ---- latent Dirichlet allocation --------------------------------------------------------- */

/* The E-step of one document: q(theta) = Dirichlet(gamma), to its fixed point.
 *   topics  n_words x K, row w: p(word w | topic k), or exp(E[log beta_wk]) of a posterior; >= 0
 *   words   n distinct words of the document; counts: n, > 0
 *   alpha   K, > 0
 *   It ends after max_inner steps, or when gamma moves by less than inner_tol in the mean.
 *   is_warm  0: starts anew; else from what stands in gamma, which must be > 0
 *   gamma      K, out (and in)
 *   shares     n x K, optional: counts_i p(topic k | word i), what the M-step sums by word
 *   log_theta  K, optional: E[log theta]
 *   bound      1, optional: the document's share of the evidence lower bound */
VEMFAST_C_API int vemfast_lda_document(const double* topics, ptrdiff_t n_words, ptrdiff_t K,
                                       const int32_t* words, const double* counts, ptrdiff_t n,
                                       const double* alpha, int max_inner, double inner_tol,
                                       int is_warm, double* gamma, double* shares,
                                       double* log_theta, double* bound);

#ifdef __cplusplus
}
#endif

#endif
