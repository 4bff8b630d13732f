#include "models/batch_fit.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>
#include <utility>

#include "models/starts.hpp"
#include "models/trace.hpp"
#include "vemfast/errors.hpp"

namespace vemfast::models {

using detail::LocalRule;

namespace {

constexpr int kLloydIterations = 100;

}  // namespace

// What does not change during a fit.
struct BatchFit::Context {
    const Setup& setup;
    const detail::RowsView& rows;
    const GaussianMixtureOptions& options;
    int n_threads;
    const Poll& poll;

    const GaussianMixture& model() const { return setup.model; }
    ParameterRule rule() const {
        return options.inference == Inference::mean_field ? ParameterRule::posterior
                                                          : ParameterRule::point;
    }
    LocalRule local_rule() const {
        return options.inference == Inference::hard_em ? LocalRule::hard : LocalRule::exact;
    }
};

// The numbers of vemfast.inference.restarts.seeds: a sum of any size, mixed by the finaliser of
// SplitMix64 (Steele, Lea and Flood 2014).
std::uint64_t start_seed(std::uint64_t random_state, std::uint64_t index) {
    std::uint64_t low = random_state;
    std::uint64_t high = 0;
    for (std::uint64_t i = 0; i < index; ++i) {
        low += 0x9E3779B97F4A7C15;
        high += low < 0x9E3779B97F4A7C15 ? 1 : 0;
    }
    low ^= high;
    low = (low ^ (low >> 30 | high << 34)) * 0xBF58476D1CE4E5B9;
    low = (low ^ low >> 27) * 0x94D049BB133111EB;
    return low ^ low >> 31;
}

detail::RowsView view_of(const Rows& rows) {
    detail::RowsView view;
    view.data = rows.data;
    view.row_stride = rows.row_stride;
    view.column_stride = rows.column_stride;
    view.n_rows = static_cast<std::size_t>(rows.n);
    view.n_features = static_cast<std::size_t>(rows.n_features);
    view.is_float = rows.is_float;
    view.weights = rows.weights.data;
    view.weight_stride = rows.weights.stride;
    return view;
}

double BatchFit::evaluate(const Context& context, Kind kind, const std::vector<double>& params,
                          std::vector<double>& stats) {
    stats.resize(context.model().stats_size());
    return context.model().evaluate(kind, params.data(), context.rows, context.local_rule(), 0, 0,
                                    context.n_threads, context.poll, space_, stats.data());
}

// ---- the start -----------------------------------------------------------------------------

void start_statistics(const Setup& setup, const detail::RowsView& rows,
                      const GaussianMixtureOptions& options, std::uint64_t seed, int n_threads,
                      const Poll& poll, Workspaces& memory, double* stats) {
    const std::size_t K = setup.model.n_components();
    const std::size_t D = setup.origin.size();
    std::vector<double> centres(K * D, 0.0);
    LocalRule rule = LocalRule::hard;
    if (!options.means_init.empty()) {
        for (std::size_t i = 0; i < K * D; ++i)
            centres[i] = options.means_init[i] - setup.origin[i % D];
    } else if (options.start == Start::random) {
        rule = LocalRule::random;
    } else {
        start_centres(rows, setup.origin.data(), setup.metric.data(), K, seed,
                      options.start == Start::kmeans ? kLloydIterations : 0, centres.data());
    }
    e_step(nearest_table(K, centres.data(), setup.metric, setup.origin), setup.model.covariance(),
           rows, rule, seed, 0, n_threads, poll, memory, stats);
}

void BatchFit::init(const Context& context, std::uint64_t seed) {
    const GaussianMixtureOptions& options = context.options;
    const GaussianMixture& model = context.model();
    const bool none = options.weights_init.empty() && options.means_init.empty() &&
                      options.covariances_init.empty();
    const bool all = !options.weights_init.empty() && !options.means_init.empty() &&
                     !options.covariances_init.empty();
    const Kind kind = context.rule() == ParameterRule::posterior ? Kind::posterior : Kind::point;
    state_.kind = kind;
    state_.params.resize(model.params_size(kind));
    state_.stats.resize(model.stats_size());
    if (!all)
        start_statistics(context.setup, context.rows, options, seed, context.n_threads,
                         context.poll, space_.memory, state_.stats.data());
    if (none) {
        model.update(context.rule(), Kind::point, nullptr, state_.stats.data(), seed, 0,
                     state_.params.data());
        return;
    }
    std::vector<double> point(model.params_size(Kind::point));
    if (!all)
        model.update(ParameterRule::point, Kind::point, nullptr, state_.stats.data(), seed, 0,
                     point.data());
    const std::size_t K = model.n_components();
    const std::size_t D = model.n_features();
    const double total =
        std::accumulate(options.weights_init.begin(), options.weights_init.end(), 0.0);
    for (std::size_t k = 0; k < options.weights_init.size(); ++k)
        point[k] = options.weights_init[k] / total;
    for (std::size_t i = 0; i < options.means_init.size(); ++i)
        point[K + i] = options.means_init[i] - context.setup.origin[i % D];
    std::copy(options.covariances_init.begin(), options.covariances_init.end(),
              point.begin() + static_cast<std::ptrdiff_t>(K + K * D));
    if (kind == Kind::point) {
        state_.params = std::move(point);
        return;
    }
    model.prepare(Kind::point, point.data(), space_);
    e_step(space_.table, model.covariance(), context.rows, LocalRule::exact, seed, 0,
           context.n_threads, context.poll, space_.memory, state_.stats.data());
    model.update(context.rule(), Kind::point, point.data(), state_.stats.data(), seed, 0,
                 state_.params.data());
}

// ---- the loop ------------------------------------------------------------------------------

// Re-seeds components without rows at the rows that the mixture explains worst, from `next_`.
bool BatchFit::propose(const Context& context, std::vector<double>& proposal) {
    const GaussianMixture& model = context.model();
    if (context.rule() != ParameterRule::point || !model.has_empty_component(state_.stats.data()))
        return false;
    const std::size_t K = model.n_components();
    const std::size_t D = model.n_features();
    const std::size_t n = context.rows.n_rows;
    const double* counts =
        state_.stats.data() + detail::stats_layout(model.covariance(), K, D).counts;
    std::vector<double> density(n);
    detail::AssignOutputs out;
    out.log_density = density.data();
    assign(model.prepare(Kind::point, next_.data()), context.rows, out, context.n_threads,
           context.poll);
    std::vector<std::size_t> order;
    for (std::size_t row = 0; row < n; ++row) {
        const bool counted =
            context.rows.weights == nullptr ||
            context.rows.weights[static_cast<std::ptrdiff_t>(row) * context.rows.weight_stride] > 0;
        if (counted)
            order.push_back(row);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&density](std::size_t a, std::size_t b) { return density[a] < density[b]; });
    proposal = next_;
    double* weights = proposal.data();
    double* means = weights + K;
    double* covariances = means + K * D;
    const bool weightless = *std::min_element(weights, weights + K) <= 0;
    std::size_t worst = 0;
    for (std::size_t k = 0; k < K; ++k) {
        if (counts[k] > 0)
            continue;
        const std::size_t row = order[std::min(worst++, order.size() - 1)];
        for (std::size_t i = 0; i < D; ++i) {
            const auto at = static_cast<std::ptrdiff_t>(row) * context.rows.row_stride +
                            static_cast<std::ptrdiff_t>(i) * context.rows.column_stride;
            const double x =
                context.rows.is_float
                    ? static_cast<double>(static_cast<const float*>(context.rows.data)[at])
                    : static_cast<const double*>(context.rows.data)[at];
            means[k * D + i] = x - context.setup.origin[i];
        }
        if (weightless)
            weights[k] = 1.0 / context.setup.total_weight;
    }
    if (weightless) {
        const double total = std::accumulate(weights, weights + K, 0.0);
        for (std::size_t k = 0; k < K; ++k)
            weights[k] /= total;
    }
    const std::size_t size = (proposal.size() - K - K * D) / K;  // of one covariance, if not shared
    if (context.options.covariance_type == CovarianceType::tied ||
        context.options.covariance_type == CovarianceType::tied_spherical)
        return true;
    std::vector<double> mean(size, 0.0);
    double filled = 0;
    for (std::size_t k = 0; k < K; ++k) {
        if (!(counts[k] > 0))
            continue;
        filled += counts[k];
        for (std::size_t i = 0; i < size; ++i)
            mean[i] += counts[k] * covariances[k * size + i];
    }
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t i = 0; i < size && !(counts[k] > 0); ++i)
            covariances[k * size + i] = mean[i] / filled;
    }
    return true;
}

void BatchFit::iterate(const Context& context) {
    const GaussianMixture& model = context.model();
    Trace trace(context.options.tol, context.options.max_iter, context.setup.total_weight,
                context.rows.is_float);
    bool takes_proposals = true;
    bool is_stopped = false;  // by the callback
    for (;;) {
        interruption_point();
        const bool goes_on = trace.add(evaluate(context, state_.kind, state_.params, state_.stats));
        const auto iteration = static_cast<int>(trace.values().size()) - 1;
        is_stopped = context.options.callback &&
                     context.options.callback({iteration, trace.values().back()});
        if (is_stopped || !goes_on)
            break;
        next_.resize(state_.params.size());
        model.update(context.rule(), state_.kind, state_.params.data(), state_.stats.data(), 0, 0,
                     next_.data());
        if (takes_proposals && propose(context, proposal_)) {
            const double proposed = evaluate(context, state_.kind, proposal_, next_stats_);
            takes_proposals = proposed >= evaluate(context, state_.kind, next_, next_stats_);
            if (takes_proposals)
                next_.swap(proposal_);
        }
        state_.params.swap(next_);
    }
    state_.lower_bounds = trace.values();
    state_.stop_reason = is_stopped ? StopReason::callback : trace.reason();
}

const BatchFit::State& BatchFit::run(const Setup& setup, const detail::RowsView& rows,
                                     const GaussianMixtureOptions& options,
                                     std::uint64_t random_state, int n_threads, const Poll& poll) {
    const Context context{setup, rows, options, n_threads, poll};
    std::exception_ptr failure;
    bool found = false;
    for (int i = 0; i < options.n_init; ++i) {
        try {
            init(context, start_seed(random_state, static_cast<std::uint64_t>(i)));
            iterate(context);
        } catch (const NumericalError&) {
            if (!failure)
                failure = std::current_exception();
            continue;
        }
        if (!found || state_.lower_bounds.back() > best_.lower_bounds.back())
            std::swap(state_, best_);
        found = true;
    }
    if (!found)
        std::rethrow_exception(failure);
    return best_;
}

}  // namespace vemfast::models
