#include "models/discrete_fit.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "models/batch_fit.hpp"
#include "models/data_sets.hpp"
#include "models/discrete_sets.hpp"
#include "models/discrete_starts.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

using detail::IndexedRows;
using detail::LocalRule;

namespace {

// The fit of one data set.
class DiscreteFit {
  public:
    DiscreteFit(const DiscreteMixture& like, const IndexedRows& rows, bool is_float,
                const DiscreteFitOptions& options, int n_threads, const Poll& poll)
        : rows_(rows),
          is_float_(is_float),
          options_(options),
          n_threads_(n_threads),
          poll_(poll),
          points_(indexed_points(rows, like.shape())),
          own_(options.shapes.empty()
                   ? nullptr
                   : with_own_rates(like, options.shapes, points_, rows.weights)),
          model_(own_ ? *own_ : like),
          K_(like.n_components()),
          F_(like.shape().n_values) {
        std::size_t positive = rows.n_rows;
        total_weight_ = static_cast<double>(rows.n_rows);
        if (rows.weights != nullptr) {
            const double* end = rows.weights + rows.n_rows;
            total_weight_ = std::accumulate(rows.weights, end, 0.0);
            positive = static_cast<std::size_t>(
                std::count_if(rows.weights, end, [](double w) { return w > 0; }));
        }
        require(positive >= K_, "n_components=", K_,
                " needs at least as many rows, but X has n_samples=", positive,
                positive == rows.n_rows ? "" : " of positive weight");
    }

    const DiscreteMixture& model() const { return model_; }

    // Runs all starts; the result is that of highest objective.
    FitState run(std::uint64_t random_state) {
        return fit_from_starts(*this, options_.control(total_weight_, is_float_), options_.n_init,
                               random_state, state_, [&](std::uint64_t seed) { init(seed); });
    }

    // ---- what the loop asks ----------------------------------------------------------------

    double evaluate(Kind kind, const std::vector<double>& params,
                    std::vector<double>& stats) const {
        pass(model_.prepare(kind, params.data()), options_.local_rule, 0, stats);
        return stats[0] + model_.global_term(kind, params.data());
    }

    static void accept() {}

    void update(const FitState& state, std::vector<double>& next) const {
        model_.update(options_.parameter_rule, state.kind, state.params.data(), state.stats.data(),
                      0, 0, next.data());
    }

    double size_of_terms(const FitState& state) const {
        if (!has_counts())
            return 0.0;
        const double* counts = state.stats.data() + 2;
        const std::size_t size = F_ * K_ * (state.kind == Kind::point ? 1 : 2);
        const double* components = state.params.data() + state.params.size() - size;
        return size_of_count_terms(counts, counts + K_, state.kind, components, F_, K_);
    }

    // Re-seeds components without rows halfway between the mean of the others and the rows that
    // the mixture explains worst, from `next`.
    bool propose(const FitState& state, const std::vector<double>& next,
                 std::vector<double>& proposal) const {
        const double* counts = state.stats.data() + 2;
        if (state.kind != Kind::point || *std::min_element(counts, counts + K_) > 0)
            return false;
        const std::vector<double> density = log_densities(next);
        std::vector<std::size_t> order;
        for (std::size_t row = 0; row < rows_.n_rows; ++row) {
            if (rows_.weights == nullptr || rows_.weights[row] > 0)
                order.push_back(row);
        }
        std::stable_sort(order.begin(), order.end(), [&density](std::size_t a, std::size_t b) {
            return density[a] < density[b];
        });
        proposal = next;
        double* table = proposal.data() + K_;
        double filled = 0;
        for (std::size_t k = 0; k < K_; ++k)
            filled += std::max(counts[k], 0.0);
        std::vector<double> mean(F_, 0.0);
        for (std::size_t i = 0; i < F_ * K_; ++i)
            mean[i / K_] += table[i] * std::max(counts[i % K_], 0.0) / filled;
        std::size_t worst = 0;
        for (std::size_t k = 0; k < K_; ++k) {
            if (counts[k] > 0)
                continue;
            const double* x = points_.data() + order[std::min(worst++, order.size() - 1)] * F_;
            for (std::size_t f = 0; f < F_; ++f)
                table[f * K_ + k] = 0.5 * ((std::isnan(x[f]) ? mean[f] : x[f]) + mean[f]);
        }
        give_weight(counts, proposal.data());
        return true;
    }

  private:
    void pass(const IndexedTable& table, LocalRule rule, std::uint64_t seed,
              std::vector<double>& stats) const {
        stats.resize(model_.stats_size());
        e_step(table, rows_, is_float_, rule, seed, 0, n_threads_, poll_, stats.data());
    }

    // ---- the start -------------------------------------------------------------------------

    // As DiscreteMixture.init of vemfast.models: from a table of first components the weights are
    // equal, and only a posterior takes an update.
    void init(std::uint64_t seed) {
        const bool posterior = options_.parameter_rule == ParameterRule::posterior;
        state_.kind = posterior ? Kind::posterior : Kind::point;
        state_.params.resize(model_.params_size(state_.kind));
        std::vector<double> point(model_.params_size(Kind::point), 1.0);
        if (options_.table.empty() && options_.start == Start::random) {
            pass(model_.prepare(Kind::point, point.data()), LocalRule::random, seed, state_.stats);
            if (options_.weights.empty()) {
                model_.update(options_.parameter_rule, Kind::point, nullptr, state_.stats.data(),
                              seed, 0, state_.params.data());
                return;
            }
            model_.update(ParameterRule::point, Kind::point, nullptr, state_.stats.data(), seed, 0,
                          point.data());
        } else {
            std::fill_n(point.begin(), K_, 1.0 / static_cast<double>(K_));
            if (options_.table.empty())
                first_table(seed, point.data() + K_);
        }
        std::copy(options_.weights.begin(), options_.weights.end(), point.begin());
        std::copy(options_.table.begin(), options_.table.end(),
                  point.begin() + static_cast<std::ptrdiff_t>(K_));
        refuse_impossible(point);
        if (!posterior) {
            state_.params = std::move(point);
            return;
        }
        pass(model_.prepare(Kind::point, point.data()), LocalRule::exact, seed, state_.stats);
        model_.update(options_.parameter_rule, Kind::point, point.data(), state_.stats.data(), seed,
                      0, state_.params.data());
    }

    void first_table(std::uint64_t seed, double* out) const {
        models::first_table(points_, rows_.weights, model_.shape(), has_counts(), seed,
                            options_.start == Start::kmeans ? kLloydIterations : 0, out);
    }

    bool has_counts() const { return rows_.storage >= detail::Storage::float_counts; }

    // A given table may have zeros, which rule rows out in every component.
    void refuse_impossible(const std::vector<double>& point) const {
        if (std::find(options_.table.begin(), options_.table.end(), 0.0) == options_.table.end())
            return;
        const std::vector<double> density = log_densities(point);
        for (std::size_t row = 0; row < rows_.n_rows; ++row) {
            const bool counts = rows_.weights == nullptr || rows_.weights[row] > 0;
            require(!counts || !std::isinf(density[row]), has_counts() ? "rates" : "probabilities",
                    "_init rules out row ", row, " of X: it has a zero for it in every component; ",
                    "use a small positive number");
        }
    }

    // ---- helpers ---------------------------------------------------------------------------

    std::vector<double> log_densities(const std::vector<double>& point) const {
        std::vector<double> density(rows_.n_rows);
        detail::AssignOutputs out;
        out.log_density = density.data();
        assign(model_.prepare(Kind::point, point.data()), rows_, is_float_, out, n_threads_, poll_);
        return density;
    }

    // Where a component has no weight, those without rows get that of a row.
    void give_weight(const double* counts, double* weights) const {
        if (*std::min_element(weights, weights + K_) > 0)
            return;
        for (std::size_t k = 0; k < K_; ++k)
            weights[k] = counts[k] > 0 ? weights[k] : 1.0 / total_weight_;
        const double total = std::accumulate(weights, weights + K_, 0.0);
        for (std::size_t k = 0; k < K_; ++k)
            weights[k] /= total;
    }

    static constexpr int kLloydIterations = 100;

    const IndexedRows& rows_;
    bool is_float_;
    const DiscreteFitOptions& options_;
    int n_threads_;
    const Poll& poll_;
    std::vector<double> points_;
    std::unique_ptr<DiscreteMixture> own_;
    const DiscreteMixture& model_;
    std::size_t K_, F_;
    double total_weight_ = 0;
    FitState state_;
};

bool has_empty_component(const FitState& state, std::size_t n_components) {
    const double* counts = state.stats.data() + 2;
    return state.kind == Kind::point && *std::min_element(counts, counts + n_components) <= 0;
}

}  // namespace

DiscreteFitted fit_discrete_mixture(const DiscreteMixture& like, const IndexedRows& rows,
                                    bool is_float, const DiscreteFitOptions& options,
                                    std::uint64_t random_state, int n_threads, const Poll& poll) {
    DiscreteFit fit(like, rows, is_float, options, n_threads, poll);
    DiscreteFitted out{fit.run(random_state), {}};
    if (out.state.kind == Kind::posterior) {
        out.mean_weights.resize(like.n_components());
        fit.model().mean_weights(out.state.params.data(), out.mean_weights.data());
    }
    return out;
}

DiscreteFits fit_discrete_mixtures(const DiscreteMixture& like, const DiscreteData& data,
                                   const DiscreteFitOptions& options,
                                   const std::uint64_t* random_states, int n_threads,
                                   const Poll& poll) {
    const std::size_t n = data.n_sets;
    const std::size_t K = like.n_components();
    const bool posterior = options.parameter_rule == ParameterRule::posterior;
    const std::size_t size = like.params_size(posterior ? Kind::posterior : Kind::point);
    DiscreteFits out;
    out.params.resize(n * size, kNothing);
    out.mean_weights.resize(posterior ? n * K : 0, kNothing);
    Recorder recorder(out, n);
    const auto fit_one = [&](std::size_t i, int /*slot*/, int threads, const Poll& ask) {
        recorder.guarded(i, [&] {
            const IndexedRows rows =
                slice(data.rows, static_cast<std::size_t>(data.sets[i]),
                      static_cast<std::size_t>(data.sets[i + 1] - data.sets[i]));
            const DiscreteFitted fitted = fit_discrete_mixture(like, rows, data.is_float, options,
                                                               random_states[i], threads, ask);
            const FitState& state = fitted.state;
            std::copy(state.params.begin(), state.params.end(), out.params.data() + i * size);
            std::copy(fitted.mean_weights.begin(), fitted.mean_weights.end(),
                      out.mean_weights.data() + i * K);
            recorder.keep(i, state, has_empty_component(state, K));
        });
    };
    const auto work = [&](std::size_t i) {
        const auto rows = static_cast<double>(data.sets[i + 1] - data.sets[i]);
        return rows * static_cast<double>(2 * K * like.shape().n_features);
    };
    for_data_sets(n, n_threads, poll, work, fit_one);
    recorder.finish();
    return out;
}

}  // namespace vemfast::models
