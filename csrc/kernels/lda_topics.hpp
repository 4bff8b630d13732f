// Rows of topics for the E-step of latent Dirichlet allocation, from points and from posteriors.
#pragma once

#include "../latents/admixture_bound.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Shares of a row below this are zero: their products would be denormal numbers.
template <class T>
constexpr double kLeastRow = sizeof(T) == 8 ? 1e-290 : 1e-36;

template <class T>
inline void write_row(const double* shares, std::size_t K, std::size_t ld, T* row) {
    for (std::size_t k = 0; k < K; ++k)
        row[k] = shares[k] < kLeastRow<T> ? T(0) : static_cast<T>(shares[k]);
    for (std::size_t k = K; k < ld; ++k)
        row[k] = T(0);
}

// Words [first, end) from a posterior: lambda (n_words x K) and the digamma of its column sums.
// `scratch` has room for K numbers, padded to vectors.
template <class T>
static void lda_posterior_rows(const double* lambda, const double* digamma_sums, std::size_t K,
                               std::size_t first, std::size_t end, std::size_t ld, double* scratch,
                               T* rows, double* shift) {
    constexpr std::size_t L = kLanes<double>;
    constexpr double kInfinity = __builtin_inf();
    for (std::size_t w = first; w < end; ++w) {
        const double* from = lambda + w * K;
        Vec<double> largest = splat<double>(-kInfinity);
        for (std::size_t k = 0; k < K; k += L) {
            const bool whole = K - k >= L;
            const Vec<double> value =
                whole ? load<double>(from + k) : load_partial<double>(from + k, K - k, 1.0);
            const Vec<double> sum = whole
                                        ? load<double>(digamma_sums + k)
                                        : load_partial<double>(digamma_sums + k, K - k, kInfinity);
            const Vec<double> log_beta = vdigamma<double>(value) - sum;
            store<double>(scratch + k, log_beta);
            largest = max<double>(largest, log_beta);
        }
        double top = largest[0];
        for (std::size_t lane = 1; lane < L; ++lane)
            top = largest[lane] > top ? largest[lane] : top;
        for (std::size_t k = 0; k < K; k += L)
            store<double>(scratch + k,
                          vexp_nonpositive<double>(load<double>(scratch + k) - splat<double>(top)));
        shift[w] = top;
        write_row<T>(scratch, K, ld, rows + w * ld);
    }
}

// Words [first, end) from a point: beta (n_words x K). A word that no topic has has shift -inf.
template <class T>
static void lda_point_rows(const double* beta, std::size_t K, std::size_t first, std::size_t end,
                           std::size_t ld, double* scratch, T* rows, double* shift) {
    for (std::size_t w = first; w < end; ++w) {
        const double* from = beta + w * K;
        double top = 0;
        for (std::size_t k = 0; k < K; ++k)
            top = from[k] > top ? from[k] : top;
        for (std::size_t k = 0; k < K; ++k)
            scratch[k] = top > 0 ? from[k] / top : 0.0;
        shift[w] = vlog<double>(splat<double>(top))[0];
        write_row<T>(scratch, K, ld, rows + w * ld);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
