// A document's share of the bound, and the expected logarithms of its topic proportions.
#pragma once

#include "../math/lgamma.hpp"
#include "../math/log.hpp"
#include "admixture.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

inline double digamma_of(double x) {
    return vdigamma<double>(splat<double>(x))[0];
}

inline double lgamma_of(double x) {
    return vlgamma<double>(splat<double>(x))[0];
}

// E_q[log theta] and -KL(q(theta) || Dirichlet(alpha)) of q = Dirichlet(gamma).
template <class T>
struct ProportionTerms {
    double digamma_sum = 0;  // psi(sum gamma)
    double minus_kl = 0;
};

// Adds weight E_q[log theta_k] to log_theta (K), where it is not null.
template <class T>
static ProportionTerms<T> proportion_terms(const T* gamma, const TopicRows<T>& topics,
                                           double weight, double* log_theta) {
    const std::size_t K = topics.n_components;
    constexpr std::size_t L = kLanes<double>;
    Vec<double> sums = {};
    for (std::size_t k = 0; k < K; k += L) {
        for (std::size_t lane = 0; lane < L && k + lane < K; ++lane)
            sums[lane] += static_cast<double>(gamma[k + lane]);
    }
    const double sum = horizontal_sum<double>(sums);
    ProportionTerms<T> out;
    out.digamma_sum = digamma_of(sum);
    Vec<double> inner = {};
    for (std::size_t k = 0; k < K; k += L) {
        const std::size_t count = K - k < L ? K - k : L;
        Vec<double> g, a;
        if (count == L) {  // rows of T are padded to more lanes than these
            g = load_double(gamma + k);
            a = load<double>(topics.alpha_exact + k);
        } else {  // beyond K one against one: nothing
            double lanes[L];
            for (std::size_t i = 0; i < L; ++i)
                lanes[i] = i < count ? static_cast<double>(gamma[k + i]) : 1.0;
            g = load<double>(lanes);
            a = load_partial<double>(topics.alpha_exact + k, count, 1.0);
        }
        const Vec<double> psi = vdigamma<double>(g);
        inner += (a - g) * (psi - splat<double>(out.digamma_sum)) + vlgamma<double>(g);
        if (log_theta != nullptr) {
            for (std::size_t i = 0; i < count; ++i)
                log_theta[k + i] += weight * (psi[i] - out.digamma_sum);
        }
    }
    out.minus_kl = topics.log_normaliser + horizontal_sum<double>(inner) - lgamma_of(sum);
    return out;
}

// sum_w c_w (log norm_w + m_w) + N log_scale: -inf if a word has no topic.
template <class T>
static double log_norm_sum(const Document<T>& doc, const std::int32_t* words, const double* shift) {
    constexpr std::size_t L = kLanes<double>;
    Vec<double> sum = {};
    std::size_t i = 0;
    for (; i + L <= doc.n; i += L) {
        double shifts[L];
        for (std::size_t lane = 0; lane < L; ++lane)
            shifts[lane] = shift[words[i + lane]];
        const Vec<double> log_norm = vlog<double>(load_double(doc.norms + i));
        sum = mul_add<double>(load_double(doc.counts + i), log_norm + load<double>(shifts), sum);
    }
    double rest = horizontal_sum<double>(sum);
    for (; i < doc.n; ++i) {
        const double log_norm = vlog<double>(splat<double>(static_cast<double>(doc.norms[i])))[0];
        rest += static_cast<double>(doc.counts[i]) * (log_norm + shift[words[i]]);
    }
    return rest;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
