#include "models/gaussian_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "isa/dispatch.hpp"
#include "models/row_pass.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

using detail::Covariance;
using detail::Gaussian;

// ---- GaussianMixture -----------------------------------------------------------------------

GaussianMixture::GaussianMixture(detail::Weights weights, Gaussian components,
                                 std::vector<double> origin, bool marginalize, bool keeps_means)
    : weights_(weights),
      components_(std::move(components)),
      origin_(std::move(origin)),
      marginalize_(marginalize),
      keeps_means_(keeps_means) {}

std::size_t GaussianMixture::stats_size() const {
    return detail::stats_layout(covariance(), n_components(), n_features()).size;
}

std::size_t GaussianMixture::params_size(Kind kind) const {
    const std::size_t K = n_components();
    const std::size_t covariances = components_.n_covariances();
    const std::size_t shape = K * n_features() + covariances * components_.covariance_size();
    if (kind == Kind::point)
        return weights_.point_size() + shape;
    return weights_.posterior_size() + K + covariances + shape;
}

template <class Double>
detail::GaussianFields<Double> GaussianMixture::fields(Kind kind, Double* params) const {
    const std::size_t K = n_components();
    detail::GaussianFields<Double> out{};
    out.means = params + (kind == Kind::point ? weights_.point_size() : weights_.posterior_size());
    Double* next = out.means + K * n_features();
    if (kind == Kind::posterior) {
        out.precision = next;
        out.freedom = next + K;
        next += K + components_.n_covariances();
    }
    out.scale = next;
    return out;
}

void GaussianMixture::log_weights(Kind kind, const double* params, std::vector<double>& out) const {
    out.resize(n_components());
    if (kind == Kind::posterior)
        weights_.expected_log(params, out.data());
    else
        weights_.log_of(params, out.data());
}

void GaussianMixture::prepare(Kind kind, const double* params, IterationSpace& space) const {
    components_.factors(fields(kind, params), kind == Kind::posterior, space.factors);
    log_weights(kind, params, space.log_weights);
    const double* means = fields(kind, params).means;
    space.table.fill(components_, space.factors, means, space.log_weights.data(), origin_);
    if (marginalize_)
        space.table.marginalize(components_, space.factors, means);
}

ScoreTable GaussianMixture::prepare(Kind kind, const double* params) const {
    IterationSpace space;
    prepare(kind, params, space);
    return std::move(space.table);
}

ScoreTable GaussianMixture::predictive(const double* posterior) const {
    std::vector<double> log_mean(n_components());
    weights_.mean(posterior, log_mean.data());
    for (double& w : log_mean)
        w = std::log(w);
    const auto of = fields(Kind::posterior, posterior);
    const Gaussian::StudentFactors factors = components_.predictive(of);
    ScoreTable table;
    table.fill(components_, factors, of.means, log_mean.data(), origin_);
    table.set_tails(factors);
    if (marginalize_)
        table.marginalize(components_, factors, of.means);
    return table;
}

void GaussianMixture::update(ParameterRule rule, Kind previous_kind, const double* previous,
                             const double* stats, std::uint64_t seed, std::uint32_t iteration,
                             double* out) const {
    const auto layout = detail::stats_layout(covariance(), n_components(), n_features());
    const double* counts = stats + layout.counts;
    const double* sums = stats + layout.sums;
    const double* scatter = stats + layout.scatter;
    if (rule == ParameterRule::posterior) {
        weights_.posterior(counts, out);
        components_.posterior(counts, sums, scatter, fields(Kind::posterior, out));
        return;
    }
    const auto target = fields(Kind::point, out);
    if (rule == ParameterRule::sampled) {
        random::Stream stream(seed, iteration, random::kParameterStream, 0);
        weights_.sample(counts, stream, out);
        components_.sample(counts, sums, scatter, seed, iteration, target);
        return;
    }
    // What a component without data keeps.
    const std::size_t covariances = components_.n_covariances() * components_.covariance_size();
    if (previous == nullptr) {
        std::fill(target.means, target.means + n_components() * n_features(), 0.0);
        components_.widest(target.scale);
    } else {
        const auto source = fields(previous_kind, previous);
        std::copy(source.means, source.means + n_components() * n_features(), target.means);
        std::copy(source.scale, source.scale + covariances, target.scale);
        if (previous_kind == Kind::posterior) {
            for (std::size_t c = 0; c < components_.n_covariances(); ++c) {
                for (std::size_t i = 0; i < components_.covariance_size(); ++i)
                    target.scale[c * components_.covariance_size() + i] /= source.freedom[c];
            }
        }
    }
    weights_.mode(counts, out);
    components_.mode(counts, sums, scatter, keeps_means_ && previous != nullptr, target);
}

bool GaussianMixture::has_empty_component(const double* stats) const {
    const double* counts =
        stats + detail::stats_layout(covariance(), n_components(), n_features()).counts;
    return std::any_of(counts, counts + n_components(), [](double count) { return !(count > 0); });
}

double GaussianMixture::global_term(Kind kind, const double* params,
                                    const Gaussian::Factors& factors) const {
    if (kind == Kind::point)
        return weights_.log_prior(params) + components_.log_prior(fields(kind, params), factors);
    return -weights_.kl(params) - components_.kl(fields(kind, params), factors);
}

double GaussianMixture::global_term(Kind kind, const double* params) const {
    if (kind == Kind::point && components_.is_flat())
        return weights_.log_prior(params);
    return global_term(kind, params,
                       components_.factors(fields(kind, params), kind == Kind::posterior));
}

double GaussianMixture::evaluate(Kind kind, const double* params, const detail::RowsView& rows,
                                 detail::LocalRule rule, std::uint64_t seed,
                                 std::uint32_t iteration, int n_threads, const Poll& poll,
                                 IterationSpace& space, double* stats) const {
    prepare(kind, params, space);
    e_step(space.table, covariance(), rows, rule, seed, iteration, n_threads, poll, space.memory,
           stats);
    return stats[0] + global_term(kind, params, space.factors);
}

double GaussianMixture::expected_log_joint(Kind kind, const double* params,
                                           const double* stats) const {
    const auto layout = detail::stats_layout(covariance(), n_components(), n_features());
    const double* counts = stats + layout.counts;
    std::vector<double> weights;
    log_weights(kind, params, weights);
    double total = components_.expected_log_density(
        components_.factors(fields(kind, params), kind == Kind::posterior), counts,
        stats + layout.sums, stats + layout.scatter);
    for (std::size_t k = 0; k < weights.size(); ++k) {
        if (counts[k] > 0)
            total += counts[k] * weights[k];
    }
    return total;
}

std::vector<double> GaussianMixture::precision_factors(const double* point) const {
    std::vector<double> out = components_.factors(fields(Kind::point, point), false).factor;
    if (!components_.matrix() && covariance() != Covariance::diag) {
        for (double& precision : out)
            precision = std::sqrt(precision);
    }
    return out;
}

void GaussianMixture::mean_weights(const double* posterior, double* out) const {
    weights_.mean(posterior, out);
}

std::vector<std::size_t> GaussianMixture::at_edge(const double* point) const {
    return components_.at_edge(fields(Kind::point, point).scale);
}

// ---- passes over the rows ------------------------------------------------------------------

detail::BlockShape block_shape(std::size_t n_features, std::size_t n_components, bool is_float) {
    constexpr std::size_t kBudget = std::size_t{384} << 10;  // bytes of a tile: most of an L2
    constexpr std::size_t kLargest = 512;
    constexpr std::size_t kQuantum = 64;  // rows; any vector width divides it
    constexpr std::size_t kTilesPerLeaf = 4;
    const std::size_t row = (2 * n_features + n_components) * (is_float ? 4 : 8);
    const std::size_t fit = kBudget / row / kQuantum * kQuantum;
    const std::size_t tile = std::clamp(fit, kQuantum, kLargest);
    return {tile, tile * kTilesPerLeaf};
}

namespace {

template <class T>
const MixtureEntry<T>& entry() {
    if constexpr (sizeof(T) == 4)
        return kernels().mixture.on_float;
    else
        return kernels().mixture.on_double;
}

// The widest tile that any covariance type asks for.
std::size_t tile_features(std::size_t n_features) {
    return 2 * n_features + 1;
}

struct Plan {
    RowPass pass;
    std::size_t tile_rows;  // no larger than the data
};

template <class T>
Plan plan_for(const ScoreTable& table, const detail::RowsView& rows, int n_threads) {
    const std::size_t K = table.n_components();
    const std::size_t D = table.n_features();
    const std::size_t tile_rows =
        std::min(block_shape(D, K, sizeof(T) == 4).tile_rows, rows.n_rows);
    // By the type of the rows: parts of a stream are cut before anyone knows what treats them.
    const std::size_t leaf_rows = block_shape(D, K, rows.is_float).leaf_rows;
    std::size_t bytes = entry<T>().workspace_bytes(tile_rows, tile_features(D), K);
    if (table.missing() != nullptr)
        bytes += entry<T>().missing_bytes(tile_rows, D, K, table.has_matrices());
    return {{rows.n_rows, leaf_rows, bytes, n_threads}, tile_rows};
}

template <class T>
void run_e_step(const ScoreTable& table, Covariance statistics, const detail::RowsView& rows,
                detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
                const Poll& poll, Workspaces& memory, double* stats) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    ScoreArrays<T> narrow;
    const detail::MixtureTask<T> task{rows, table.view(narrow), statistics,     rule,
                                      seed, iteration,          table.missing()};
    const std::size_t size =
        detail::stats_layout(statistics, table.n_components(), table.n_features()).size;
    const auto add = [&](std::size_t first, std::size_t n, void* workspace, double* out) {
        entry<T>().estep(task, first, n, plan.tile_rows, workspace, out);
    };
    sum_over_rows(plan.pass, size, poll, memory, add, stats);
}

template <class T>
void run_assign(const ScoreTable& table, const detail::RowsView& rows,
                const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    detail::MixtureTask<T> task{};
    task.rows = rows;
    ScoreArrays<T> narrow;
    task.scores = table.view(narrow);
    task.missing = table.missing();
    for_each_leaf(plan.pass, poll, [&](std::size_t first, std::size_t n, void* memory) {
        entry<T>().assign(task, first, n, plan.tile_rows, memory, out);
    });
}

}  // namespace

void e_step(const ScoreTable& table, Covariance statistics, const detail::RowsView& rows,
            detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
            const Poll& poll, Workspaces& memory, double* stats) {
    const bool in_float = rows.is_float && !table.needs_double();
    const auto run = in_float ? &run_e_step<float> : &run_e_step<double>;
    run(table, statistics, rows, rule, seed, iteration, n_threads, poll, memory, stats);
}

void e_step(const ScoreTable& table, Covariance statistics, const detail::RowsView& rows,
            detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
            const Poll& poll, double* stats) {
    Workspaces memory;
    e_step(table, statistics, rows, rule, seed, iteration, n_threads, poll, memory, stats);
}

void assign(const ScoreTable& table, const detail::RowsView& rows, const detail::AssignOutputs& out,
            int n_threads, const Poll& poll) {
    // A Student-t score multiplies log(1 + q / nu) by about nu / 2, and with it its rounding: a
    // million rows of floats would leave no digit of it.
    if (rows.is_float && !table.is_student() && !table.needs_double())
        run_assign<float>(table, rows, out, n_threads, poll);
    else
        run_assign<double>(table, rows, out, n_threads, poll);
}

}  // namespace vemfast::models
