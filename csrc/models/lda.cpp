#include "models/lda.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "exec/parallel.hpp"
#include "families/concentration.hpp"
#include "isa/dispatch.hpp"
#include "models/row_pass.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::models {

double dirichlet_normaliser(const double* alpha, std::size_t K) {
    double all = 0;
    double value = 0;
    for (std::size_t k = 0; k < K; ++k) {
        all += alpha[k];
        value -= special::lgamma(alpha[k]);
    }
    return value + special::lgamma(all);
}

LatentDirichlet::LatentDirichlet(std::size_t n_components, std::size_t n_words, bool is_float,
                                 std::vector<double> alpha, std::vector<double> eta,
                                 Learn learn_alpha, bool learn_eta)
    : topics_(n_words, n_components, std::move(eta)),
      is_float_(is_float),
      alpha_(std::move(alpha)),
      learn_alpha_(learn_alpha),
      learn_eta_(learn_eta) {
    require(alpha_.size() == n_components, "alpha has ", alpha_.size(), " numbers for ",
            n_components, " components");
    for (const double value : alpha_)
        require(value > 0 && std::isfinite(value), "alpha must be positive and finite, got ",
                value);
}

LdaTable LatentDirichlet::table_of(const double* alpha, std::size_t n_words) const {
    const std::size_t K = n_components();
    const std::size_t bytes = is_float_ ? sizeof(float) : sizeof(double);
    LdaTable table;
    table.n_components = K;
    table.n_words = n_words;
    table.is_float = is_float_;
    table.ld = is_float_ ? whole_vectors<float>(K) : whole_vectors<double>(K);
    table.rows = exec::allocate(n_words * table.ld * bytes);
    table.alpha = exec::allocate(table.ld * bytes);
    table.shift.resize(n_words);
    table.set_alpha(alpha);
    return table;
}

void LdaTable::set_alpha(const double* values) {
    alpha_exact.assign(values, values + n_components);
    alpha_sum = std::accumulate(alpha_exact.begin(), alpha_exact.end(), 0.0);
    log_normaliser = dirichlet_normaliser(values, n_components);
    for (std::size_t k = 0; k < ld; ++k) {
        const double value = k < n_components ? std::max(values[k], 1e-30) : 0;  // > 0 in float
        if (is_float)
            static_cast<float*>(alpha.get())[k] = static_cast<float>(value);
        else
            static_cast<double*>(alpha.get())[k] = value;
    }
}

void fill_rows(Kind kind, const double* topics, const double* digamma_sums, std::size_t first,
               std::size_t n, double* scratch, LdaTable& table) {
    const std::size_t K = table.n_components;
    const auto fill = [&]<class T>(const LdaEntry<T>& entry) {
        T* rows = static_cast<T*>(table.rows.get()) + first * table.ld;
        double* shift = table.shift.data() + first;
        if (kind == Kind::point)
            entry.point_rows(topics, K, 0, n, table.ld, scratch, rows, shift);
        else
            entry.posterior_rows(topics, digamma_sums, K, 0, n, table.ld, scratch, rows, shift);
    };
    if (table.is_float)
        fill(kernels().lda.on_float);
    else
        fill(kernels().lda.on_double);
}

LdaTable LatentDirichlet::prepare(Kind kind, const double* params, int n_threads,
                                  const Poll& poll) const {
    const std::size_t K = n_components();
    LdaTable table = table_of(alpha_of(params), n_words());
    std::vector<double> digamma_sums;
    if (kind == Kind::posterior) {
        digamma_sums = topics_.column_sums(params, n_threads, poll);
        for (double& sum : digamma_sums)
            sum = special::digamma(sum);
    }
    const RowPass pass{table.n_words, kLeafWords, table.scratch_size() * sizeof(double), n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void* scratch) {
        fill_rows(kind, params + first * K, digamma_sums.data(), first, n,
                  static_cast<double*>(scratch), table);
    });
    return table;
}

void LatentDirichlet::update(ParameterRule rule, Kind previous_kind, const double* previous,
                             const double* stats, std::uint64_t seed, std::uint32_t iteration,
                             int n_threads, const Poll& poll, double* out) const {
    const double* sstats = stats + 2;
    const double scale = previous == nullptr ? 1.0 : scale_of(previous);
    double* alpha = out + topics_.size();
    const double* from = previous == nullptr ? alpha_.data() : alpha_of(previous);
    std::copy(from, from + n_components(), alpha);
    alpha[n_components()] = scale;
    if (rule == ParameterRule::posterior) {
        topics_.posterior(scale, sstats, n_threads, poll, out);
    } else if (rule == ParameterRule::sampled) {
        topics_.sample(scale, sstats, seed, iteration, n_threads, poll, out);
    } else {
        require(topics_.smallest(scale) >= 1.0, "eta=", topics_.smallest(scale),
                " below 1 gives point topics no mode; use eta >= 1, or inference='mean-field'");
        std::vector<double> mean;
        const double* kept = previous;
        if (previous != nullptr && previous_kind == Kind::posterior) {
            mean.resize(topics_.size());
            topics_.mean(previous, n_threads, poll, mean.data());
            kept = mean.data();
        }
        topics_.mode(scale, sstats, kept, n_threads, poll, out);
    }
    learn(rule, stats, n_threads, poll, out);
}

void LatentDirichlet::learn_alpha(const double* log_theta, double documents, double* alpha) const {
    const std::size_t K = n_components();
    if (learn_alpha_ == Learn::vector) {
        detail::fit_concentration(alpha, K, documents, log_theta);
    } else if (learn_alpha_ == Learn::symmetric) {
        double sum = 0;
        double mean = 0;
        for (std::size_t k = 0; k < K; ++k) {
            sum += log_theta[k];
            mean += alpha[k] / static_cast<double>(K);
        }
        std::fill(
            alpha, alpha + K,
            detail::fit_symmetric_concentration(mean, static_cast<double>(K), documents, sum));
    }
}

void LatentDirichlet::learn(ParameterRule rule, const double* stats, int n_threads,
                            const Poll& poll, double* out) const {
    const std::size_t K = n_components();
    const double* log_theta = stats + 2 + topics_.size();
    double* alpha = out + topics_.size();
    learn_alpha(log_theta, log_theta[K], alpha);
    if (!learn_eta_)
        return;
    require(rule != ParameterRule::point,
            "a learned eta is unbounded where topics are points; use inference='mean-field' or "
            "'gibbs', or a fixed eta");
    const double sum_log = rule == ParameterRule::posterior
                               ? topics_.sum_expected_log(out, n_threads, poll)
                               : topics_.sum_log(out, n_threads, poll);
    double& scale = alpha[K];
    scale = detail::fit_symmetric_concentration(scale, static_cast<double>(n_words()),
                                                static_cast<double>(K), sum_log);
}

double LatentDirichlet::global_term(Kind kind, const double* params, int n_threads,
                                    const Poll& poll) const {
    const double scale = scale_of(params);
    if (kind == Kind::point)
        return topics_.log_prior(scale, params, n_threads, poll);
    return -topics_.kl(scale, params, n_threads, poll);
}

double LatentDirichlet::expected_log_joint(Kind kind, const double* params, const double* stats,
                                           int n_threads, const Poll& poll) const {
    const std::size_t K = n_components();
    const double* sstats = stats + 2;
    const double* log_theta = sstats + topics_.size();
    const double* alpha = alpha_of(params);
    double sum = kind == Kind::point
                     ? topics_.log_density(params, sstats, n_threads, poll)
                     : topics_.expected_log_density(params, sstats, n_threads, poll);
    for (std::size_t k = 0; k < K; ++k)
        sum += (alpha[k] - 1.0) * log_theta[k];
    return sum + log_theta[K] * dirichlet_normaliser(alpha, K);
}

}  // namespace vemfast::models
