#include "models/batch_fit.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "models/rows_view.hpp"
#include "models/starts.hpp"

namespace vemfast::models {

using detail::LocalRule;

namespace {

constexpr int kLloydIterations = 100;

}  // namespace

// One start of one data set, as the loop wants it.
class BatchFit::Run {
  public:
    Run(const Setup& setup, const detail::RowsView& rows, const GaussianMixtureOptions& options,
        int n_threads, const Poll& poll, FitState& state, IterationSpace& space)
        : setup_(setup),
          rows_(rows),
          options_(options),
          n_threads_(n_threads),
          poll_(poll),
          state_(state),
          space_(space) {}

    void init(std::uint64_t seed);

    double evaluate(Kind kind, const std::vector<double>& params, std::vector<double>& stats) {
        stats.resize(model().stats_size());
        const LocalRule rule =
            options_.inference == Inference::hard_em ? LocalRule::hard : LocalRule::exact;
        return model().evaluate(kind, params.data(), rows_, rule, 0, 0, n_threads_, poll_, space_,
                                stats.data());
    }
    static double size_of_terms(const FitState& /*state*/) { return 0; }
    static void accept() {}
    void update(const FitState& state, std::vector<double>& next) const {
        model().update(rule(), state.kind, state.params.data(), state.stats.data(), 0, 0,
                       next.data());
    }
    bool propose(const FitState& state, const std::vector<double>& next,
                 std::vector<double>& proposal) const;

  private:
    const GaussianMixture& model() const { return setup_.model; }
    ParameterRule rule() const {
        return options_.inference == Inference::mean_field ? ParameterRule::posterior
                                                           : ParameterRule::point;
    }

    const Setup& setup_;
    const detail::RowsView& rows_;
    const GaussianMixtureOptions& options_;
    int n_threads_;
    const Poll& poll_;
    FitState& state_;
    IterationSpace& space_;
};

// ---- the start -----------------------------------------------------------------------------

int lloyd_iterations(Start start) {
    return start == Start::kmeans ? kLloydIterations : 0;
}

namespace {

// Centres among rows whose missing values are the columns' means.
void completed_centres(const Setup& setup, const detail::RowsView& rows, std::size_t K,
                       std::uint64_t seed, int lloyd, std::vector<double>& centres) {
    const std::size_t D = setup.origin.size();
    const StartPoints points = start_points(rows, setup.origin.data(), setup.metric.data(), seed);
    std::vector<std::int32_t> labels;
    for (const std::size_t row : points.rows) {
        if (rows.labels != nullptr)
            labels.push_back(rows.labels[row]);
    }
    kmeans(points.x.data(), points.rows.size(), D, points.weights.data(), K, seed, lloyd,
           centres.data(), labels.empty() ? nullptr : labels.data());
    for (std::size_t i = 0; i < K * D; ++i)
        centres[i] *= std::sqrt(setup.metric[i % D]);
}

}  // namespace

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
    } else if (options.marginalize) {
        completed_centres(setup, rows, K, seed, lloyd_iterations(options.start), centres);
    } else if (rows.labels == nullptr) {  // else nothing depends on them
        start_centres(rows, setup.origin.data(), setup.metric.data(), K, seed,
                      lloyd_iterations(options.start), centres.data());
    }
    e_step(nearest_table(K, centres.data(), setup.metric, setup.origin, options.marginalize),
           setup.model.covariance(), rows, rule, seed, 0, n_threads, poll, memory, stats);
}

void BatchFit::Run::init(std::uint64_t seed) {
    const bool none = options_.weights_init.empty() && options_.means_init.empty() &&
                      options_.covariances_init.empty();
    const bool all = !options_.weights_init.empty() && !options_.means_init.empty() &&
                     !options_.covariances_init.empty();
    const Kind kind = rule() == ParameterRule::posterior ? Kind::posterior : Kind::point;
    state_.kind = kind;
    state_.params.resize(model().params_size(kind));
    state_.stats.resize(model().stats_size());
    if (!all)
        start_statistics(setup_, rows_, options_, seed, n_threads_, poll_, space_.memory,
                         state_.stats.data());
    if (none) {
        model().update(rule(), Kind::point, nullptr, state_.stats.data(), seed, 0,
                       state_.params.data());
        return;
    }
    std::vector<double> point(model().params_size(Kind::point));
    if (!all)
        model().update(ParameterRule::point, Kind::point, nullptr, state_.stats.data(), seed, 0,
                       point.data());
    const std::size_t K = model().n_components();
    const std::size_t D = model().n_features();
    const std::vector<double> weights =
        given_weights(options_.weights_init, options_.equal_weights);
    std::copy(weights.begin(), weights.end(), point.begin());
    for (std::size_t i = 0; i < options_.means_init.size(); ++i)
        point[K + i] = options_.means_init[i] - setup_.origin[i % D];
    std::copy(options_.covariances_init.begin(), options_.covariances_init.end(),
              point.begin() + static_cast<std::ptrdiff_t>(K + K * D));
    if (kind == Kind::point) {
        state_.params = std::move(point);
        return;
    }
    model().prepare(Kind::point, point.data(), space_);
    e_step(space_.table, model().covariance(), rows_, LocalRule::exact, seed, 0, n_threads_, poll_,
           space_.memory, state_.stats.data());
    model().update(rule(), Kind::point, point.data(), state_.stats.data(), seed, 0,
                   state_.params.data());
}

// ---- the loop ------------------------------------------------------------------------------

// Re-seeds components without rows at the rows that the mixture explains worst, from `next`.
bool BatchFit::Run::propose(const FitState& state, const std::vector<double>& next,
                            std::vector<double>& proposal) const {
    if (rule() != ParameterRule::point || !model().has_empty_component(state.stats.data()))
        return false;
    const std::size_t K = model().n_components();
    const std::size_t D = model().n_features();
    const std::size_t n = rows_.n_rows;
    const double* counts =
        state.stats.data() + detail::stats_layout(model().covariance(), K, D).counts;
    std::vector<double> density(n);
    detail::AssignOutputs out;
    out.log_density = density.data();
    assign(model().prepare(Kind::point, next.data()), rows_, out, n_threads_, poll_);
    std::vector<std::size_t> order;
    for (std::size_t row = 0; row < n; ++row) {
        const bool counted =
            rows_.weights == nullptr ||
            rows_.weights[static_cast<std::ptrdiff_t>(row) * rows_.weight_stride] > 0;
        if (counted)
            order.push_back(row);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&density](std::size_t a, std::size_t b) { return density[a] < density[b]; });
    proposal = next;
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
            const double x = value_at(rows_, row, i);
            means[k * D + i] = std::isnan(x) ? 0.0 : x - setup_.origin[i];
        }
        if (weightless)
            weights[k] = 1.0 / setup_.total_weight;
    }
    if (weightless) {
        const double total = std::accumulate(weights, weights + K, 0.0);
        for (std::size_t k = 0; k < K; ++k)
            weights[k] /= total;
    }
    const std::size_t size = (proposal.size() - K - K * D) / K;  // of one covariance, if not shared
    if (options_.covariance_type == CovarianceType::tied ||
        options_.covariance_type == CovarianceType::tied_spherical)
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

const FitState& BatchFit::run(const Setup& setup, const detail::RowsView& rows,
                              const GaussianMixtureOptions& options, std::uint64_t random_state,
                              int n_threads, const Poll& poll) {
    const LoopControl control{options.tol, options.max_iter, setup.total_weight, rows.is_float,
                              options.callback};
    Run fit(setup, rows, options, n_threads, poll, state_, space_);
    best_of_starts(options.n_init, random_state, state_, best_, [&](std::uint64_t seed) {
        fit.init(seed);
        iterate(fit, control, state_, loop_);
    });
    return best_;
}

}  // namespace vemfast::models
