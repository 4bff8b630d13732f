// Rows of topics for the E-step of latent Dirichlet allocation, from points and from posteriors.
#pragma once

#include "../latents/admixture_bound.hpp"
#include "denormals.hpp"

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

// A row whose largest share is below this, before it is divided by it, would lose shares.
constexpr float kLeastTop = 1e-2F;

// factors = exp(offset - digamma_sums), padded with zeros; the offset, at which the largest is one.
static double direct_factors(const double* digamma_sums, std::size_t K, std::size_t ld,
                             double* scratch, float* factors) {
    constexpr std::size_t L = kLanes<double>;
    constexpr double kInfinity = __builtin_inf();
    double offset = kInfinity;
    for (std::size_t k = 0; k < K; ++k)
        offset = digamma_sums[k] < offset ? digamma_sums[k] : offset;
    for (std::size_t k = 0; k < K; k += L) {
        const Vec<double> sum = K - k >= L
                                    ? load<double>(digamma_sums + k)
                                    : load_partial<double>(digamma_sums + k, K - k, kInfinity);
        store<double>(scratch + k, vexp_nonpositive<double>(splat<double>(offset) - sum));
    }
    for (std::size_t k = 0; k < ld; ++k)
        factors[k] = k < K ? static_cast<float>(scratch[k]) : 0.0F;
    return offset;
}

// The row of one word in float, with one exponential: exp(psi(lambda)) times `factors`, which are
// exp(offset - psi(sum)). False where that underflows.
static bool direct_row(const double* lambda, const float* factors, double offset, std::size_t K,
                       std::size_t ld, float* row, double* shift) {
    constexpr std::size_t L = kLanes<float>;
    constexpr std::size_t H = kLanes<double>;
    Vec<float> largest = {};
    for (std::size_t k = 0; k < ld; k += L) {
        Vec<double> low, high;
        if (K - k >= L) {
            low = load<double>(lambda + k);
            high = load<double>(lambda + k + H);
        } else {  // exp(psi(0)) is 0
            const std::size_t count = K - k;
            low = load_partial<double>(lambda + k, count < H ? count : H, 0.0);
            high = count > H ? load_partial<double>(lambda + k + H, count - H, 0.0)
                             : splat<double>(0.0);
        }
        const Vec<float> share = vexp_digamma<float>(narrow(low, high)) * load<float>(factors + k);
        largest = max<float>(largest, share);
        store<float>(row + k, share);
    }
    float top = largest[0];
    for (std::size_t lane = 1; lane < L; ++lane)
        top = largest[lane] > top ? largest[lane] : top;
    if (!(top >= kLeastTop))
        return false;
    const Vec<float> scale = splat<float>(1.0F / top);
    const Vec<float> least = splat<float>(static_cast<float>(kLeastRow<float>));
    for (std::size_t k = 0; k < ld; k += L) {
        const Vec<float> share = load<float>(row + k) * scale;
        store<float>(row + k, select<float>(share < least, splat<float>(0.0F), share));
    }
    *shift = vlog<double>(splat<double>(static_cast<double>(top)))[0] - offset;
    return true;
}

// Words [first, end) from a posterior: lambda (n_words x K) and the digamma of its column sums.
// `scratch` has room for 2 K numbers and two vectors.
template <class T>
static void lda_posterior_rows(const double* lambda, const double* digamma_sums, std::size_t K,
                               std::size_t first, std::size_t end, std::size_t ld, double* scratch,
                               T* rows, double* shift) {
    constexpr std::size_t L = kLanes<double>;
    constexpr double kInfinity = __builtin_inf();
    const bool is_direct = sizeof(T) == 4;
    float* factors = reinterpret_cast<float*>(scratch + to_multiple(K, L));
    const unsigned mode = is_direct ? flush_denormals() : 0;
    const double offset = is_direct ? direct_factors(digamma_sums, K, ld, scratch, factors) : 0;
    for (std::size_t w = first; w < end; ++w) {
        const double* from = lambda + w * K;
        if constexpr (sizeof(T) == 4) {
            if (direct_row(from, factors, offset, K, ld, rows + w * ld, shift + w))
                continue;
        }
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
    if (is_direct)
        restore_mode(mode);
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
