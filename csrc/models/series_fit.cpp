#include "models/series_fit.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>
#include <variant>

#include "models/batch_fit.hpp"
#include "models/data_sets.hpp"
#include "models/discrete_sets.hpp"
#include "models/discrete_starts.hpp"
#include "models/hmm_starts.hpp"
#include "models/starts.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

using detail::LocalRule;

namespace {

// One data set: its sequences, and the weights of its steps.
struct Series {
    HmmRows rows;
    Sequences sequences;
    std::vector<double> step_weights;  // empty: all one
    double total_weight = 0;

    const double* weights() const { return step_weights.empty() ? nullptr : step_weights.data(); }
};

HmmRows slice(const HmmRows& all, std::size_t first, std::size_t n) {
    HmmRows part = all;
    if (auto* view = std::get_if<detail::RowsView>(&part.rows)) {
        const std::size_t item = view->is_float ? sizeof(float) : sizeof(double);
        view->data = static_cast<const char*>(view->data) +
                     static_cast<std::ptrdiff_t>(first * item) * view->row_stride;
        view->n_rows = n;
    } else {
        auto& indexed = std::get<detail::IndexedRows>(part.rows);
        indexed = models::slice(indexed, first, n);
    }
    return part;
}

Series series_of(const HmmRows& rows, const Sequences& sequences) {
    Series out;
    out.rows = rows;
    out.sequences.lengths = sequences.lengths;
    out.sequences.n = sequences.n;
    out.total_weight = static_cast<double>(out.rows.n_steps());
    if (sequences.weights == nullptr)
        return out;
    out.sequences.weights = sequences.weights;
    out.total_weight = 0;
    for (std::size_t j = 0; j < sequences.n; ++j) {
        const double weight = out.sequences.weights[j];
        out.total_weight += weight * static_cast<double>(out.sequences.lengths[j]);
        out.step_weights.insert(out.step_weights.end(),
                                static_cast<std::size_t>(out.sequences.lengths[j]), weight);
    }
    return out;
}

// The fit of one data set.
class SeriesFit {
  public:
    SeriesFit(const HiddenMarkov& model, const Series& series, const SeriesOptions& options,
              int n_threads, const Poll& poll)
        : model_(model),
          series_(series),
          options_(options),
          n_threads_(n_threads),
          poll_(poll),
          is_float_(series.rows.is_float) {}

    // Runs all starts; `first(seed, out)` writes where the emissions begin. The result is that of
    // highest objective.
    template <class First>
    FitState run(std::uint64_t random_state, First&& first) {
        return fit_from_starts(
            *this, options_.control(series_.total_weight, is_float_), options_.n_init, random_state,
            state_, [&](std::uint64_t seed) { init([&](double* out) { first(seed, out); }); });
    }

    // ---- what the loop asks ----------------------------------------------------------------

    double evaluate(Kind kind, const std::vector<double>& params, std::vector<double>& stats) {
        const HmmTable table = model_.prepare(kind, params.data());
        is_poisson_ =
            table.indexed() != nullptr && table.indexed()->family == detail::IndexedFamily::poisson;
        if (options_.factorised) {
            next_q_.resize(series_.rows.n_steps() * model_.n_states());
            const detail::ChainSweeps sweeps{q_.empty() ? nullptr : q_.data(), next_q_.data(),
                                             model_.sweeps().n_sweeps, model_.sweeps().tolerance};
            hmm_sweep(table, series_.rows, series_.sequences, sweeps, n_threads_, poll_,
                      stats.data());
        } else {
            pass(table, options_.local_rule, stats.data());
        }
        return stats[0] + model_.global_term(kind, params.data());
    }

    // The sum of the absolute terms of the scores of counts, most of which the log factorials take
    // out again; 0 for other families, whose terms do not cancel.
    double size_of_terms(const FitState& state) const {
        if (!is_poisson_)
            return 0;
        const std::size_t K = model_.n_states();
        const double* counts = state.stats.data() + 2 + K + K * K;
        const std::size_t F = (state.stats.size() - (2 + 2 * K + K * K)) / K;
        return size_of_count_terms(counts, counts + K, state.kind,
                                   state.params.data() + model_.emission_at(), F, K);
    }

    void accept() { q_.swap(next_q_); }

    void update(const FitState& state, std::vector<double>& next) const {
        model_.update(options_.parameter_rule, state.kind, state.params.data(), state.stats.data(),
                      0, 0, next.data());
    }

    static bool propose(const FitState& /*state*/, const std::vector<double>& /*next*/,
                        std::vector<double>& /*proposal*/) {
        return false;
    }

  private:
    template <class First>
    void init(First&& first) {
        std::vector<double> point(model_.params_size(Kind::point));
        auto to = std::copy(options_.start.begin(), options_.start.end(), point.begin());
        to = std::copy(options_.transitions.begin(), options_.transitions.end(), to);
        std::copy(options_.mix.begin(), options_.mix.end(), to);
        first(point.data() + model_.emission_at());
        q_.clear();
        state_.kind = Kind::point;
        state_.stats.resize(model_.stats_size());
        if (options_.parameter_rule == ParameterRule::posterior) {
            const HmmTable table = model_.prepare(Kind::point, point.data());
            pass(table, LocalRule::exact, state_.stats.data());
            state_.kind = Kind::posterior;
            state_.params.resize(model_.params_size(Kind::posterior));
            model_.update(ParameterRule::posterior, Kind::point, point.data(), state_.stats.data(),
                          0, 0, state_.params.data());
        } else {
            state_.params = std::move(point);
        }
    }

    void pass(const HmmTable& table, LocalRule rule, double* stats) const {
        HmmPass how;
        how.rule = rule;
        how.n_threads = n_threads_;
        hmm_e_step(table, series_.rows, series_.sequences, how, poll_, stats);
    }

    const HiddenMarkov& model_;
    const Series& series_;
    const SeriesOptions& options_;
    int n_threads_;
    const Poll& poll_;
    bool is_float_;
    bool is_poisson_ = false;
    FitState state_;
    std::vector<double> q_, next_q_;
};

// ---- emissions -----------------------------------------------------------------------------

// The emissions of one data set, Gaussian.
class GaussianSeries {
  public:
    GaussianSeries(const HiddenMarkov& like, const Series& series,
                   const GaussianMixtureOptions& options, int n_threads, const Poll& poll)
        : options_(options),
          n_mix_(like.n_mix()),
          view_(std::get<detail::RowsView>(series.rows.rows)),
          n_threads_(n_threads),
          poll_(poll) {
        view_.weights = series.weights();
        setup_ = std::make_unique<Setup>(configure(view_, options, n_threads, poll, true));
    }

    Emissions emission() const { return &setup_->model; }
    const std::vector<double>& origin() const { return setup_->origin; }

    void first(std::uint64_t seed, double* out) {
        const GaussianMixture& model = setup_->model;
        const std::size_t D = model.n_features();
        std::vector<double> stats(model.stats_size());
        const auto from = [&](const detail::RowsView& rows) {
            start_statistics(*setup_, rows, options_, seed, n_threads_, poll_, memory_,
                             stats.data());
        };
        if (n_mix_ == 1)
            from(view_);
        else
            from(LabelledRows(*setup_, view_, n_mix_, options_.start, seed).view());
        model.update(ParameterRule::point, Kind::point, nullptr, stats.data(), seed, 0, out);
        for (std::size_t i = 0; i < options_.means_init.size(); ++i)
            out[i] = options_.means_init[i] - setup_->origin[i % D];
        std::copy(options_.covariances_init.begin(), options_.covariances_init.end(),
                  out + model.n_components() * D);
    }

  private:
    const GaussianMixtureOptions& options_;
    std::size_t n_mix_;
    detail::RowsView view_;
    int n_threads_;
    const Poll& poll_;
    std::unique_ptr<Setup> setup_;
    Workspaces memory_;
};

// The emissions of one data set, of a discrete family.
class DiscreteSeries {
  public:
    DiscreteSeries(const HiddenMarkov& like, const Series& series,
                   const DiscreteSeriesOptions& options, int /*n_threads*/, const Poll& /*poll*/)
        : options_(options),
          shared_(*std::get<const DiscreteMixture*>(like.emission())),
          family_(std::get<detail::IndexedRows>(series.rows.rows)),
          weights_(series.weights()),
          points_(indexed_points(family_, shared_.shape())) {
        if (!options.shapes.empty())
            own_ = with_own_rates(shared_, options.shapes, points_, weights_);
    }

    Emissions emission() const { return own_ ? own_.get() : &shared_; }
    const std::vector<double>& origin() const { return nothing_; }

    void first(std::uint64_t seed, double* out) {
        if (!options_.table.empty()) {
            std::copy(options_.table.begin(), options_.table.end(), out);
            return;
        }
        const bool counts = family_.storage >= detail::Storage::float_counts;
        first_table(points_, weights_, shared_.shape(), counts, seed, options_.lloyd, out);
    }

  private:
    const DiscreteSeriesOptions& options_;
    const DiscreteMixture& shared_;
    const detail::IndexedRows& family_;
    const double* weights_;
    std::vector<double> points_;
    std::unique_ptr<DiscreteMixture> own_;
    std::vector<double> nothing_;
};

// ---- all of them ---------------------------------------------------------------------------

bool has_empty_state(const HiddenMarkov& model, const FitState& state) {
    const std::size_t K = model.n_states();
    const double* counts = state.stats.data() + 2 + K + K * K;
    return state.kind == Kind::point && *std::min_element(counts, counts + K) <= 0;
}

template <class Options>
using SeriesOf = std::conditional_t<std::is_same_v<Options, GaussianMixtureOptions>, GaussianSeries,
                                    DiscreteSeries>;

template <class Options>
SeriesFitted fit_one(const HiddenMarkov& like, const HmmRows& rows, const Sequences& sequences,
                     const SeriesOptions& options, const Options& emission,
                     std::uint64_t random_state, int n_threads, const Poll& poll) {
    const Series series = series_of(rows, sequences);
    SeriesOf<Options> own(like, series, emission, n_threads, poll);
    const HiddenMarkov model = like.over(own.emission());
    SeriesFit fit(model, series, options, n_threads, poll);
    SeriesFitted out{
        fit.run(random_state, [&](std::uint64_t seed, double* to) { own.first(seed, to); }),
        {},
        own.origin()};
    if (out.state.kind == Kind::posterior) {
        const std::size_t K = model.n_states();
        out.chain_means.resize(K * (K + 1));
        model.mean_chain(out.state.params.data(), out.chain_means.data());
    }
    return out;
}

template <class Options>
SeriesFits fit_each(const HiddenMarkov& like, const SeriesData& data, const SeriesOptions& options,
                    const Options& emission, const std::uint64_t* random_states, int n_threads,
                    const Poll& poll) {
    const auto* const* gaussian = std::get_if<const GaussianMixture*>(&like.emission());
    const std::size_t origin_size = gaussian == nullptr ? 0 : (*gaussian)->n_features();
    const std::size_t n = data.n_sets;
    const std::size_t K = like.n_states();
    const bool posterior = options.parameter_rule == ParameterRule::posterior;
    std::vector<std::int64_t> first_step{0};
    for (std::size_t i = 0; i < n; ++i) {
        std::int64_t steps = 0;
        for (std::int64_t s = data.sets[i]; s < data.sets[i + 1]; ++s)
            steps += data.sequences.lengths[s];
        first_step.push_back(first_step.back() + steps);
    }
    SeriesFits out;
    out.params_size = like.params_size(posterior ? Kind::posterior : Kind::point);
    out.params.resize(n * out.params_size, kNothing);
    out.chain_means.resize(posterior ? n * K * (K + 1) : 0, kNothing);
    out.origins.resize(n * origin_size, kNothing);
    Recorder recorder(out, n);
    const auto fit_set = [&](std::size_t i, int /*slot*/, int threads, const Poll& ask) {
        recorder.guarded(i, [&] {
            const auto first = static_cast<std::size_t>(first_step[i]);
            const HmmRows rows =
                slice(data.rows, first, static_cast<std::size_t>(first_step[i + 1]) - first);
            Sequences sequences;
            sequences.lengths = data.sequences.lengths + data.sets[i];
            sequences.n = static_cast<std::size_t>(data.sets[i + 1] - data.sets[i]);
            if (data.sequences.weights != nullptr)
                sequences.weights = data.sequences.weights + data.sets[i];
            const SeriesFitted fitted =
                fit_one(like, rows, sequences, options, emission, random_states[i], threads, ask);
            const FitState& state = fitted.state;
            std::copy(state.params.begin(), state.params.end(),
                      out.params.data() + i * out.params_size);
            std::copy(fitted.origin.begin(), fitted.origin.end(),
                      out.origins.data() + i * origin_size);
            std::copy(fitted.chain_means.begin(), fitted.chain_means.end(),
                      out.chain_means.data() + i * K * (K + 1));
            recorder.keep(i, state, has_empty_state(like, state));
        });
    };
    const auto work = [&](std::size_t i) {
        const auto steps = static_cast<double>(first_step[i + 1] - first_step[i]);
        const auto size = static_cast<double>(like.stats_size());
        return steps * (size + 3.0 * static_cast<double>(K * K));
    };
    for_data_sets(n, n_threads, poll, work, fit_set);
    recorder.finish();
    return out;
}

// Throws std::invalid_argument before there is a fit.
void check_emission(const HiddenMarkov& like, const HmmRows& /*rows*/,
                    const GaussianMixtureOptions& emission) {
    check_options(emission, std::get<const GaussianMixture*>(like.emission())->n_features());
}

void check_emission(const HiddenMarkov& /*like*/, const HmmRows& rows,
                    const DiscreteSeriesOptions& /*emission*/) {
    require(!detail::is_csr(std::get<detail::IndexedRows>(rows.rows).storage),
            "series of one fit each are dense");
}

}  // namespace

SeriesFitted fit_chain(const HiddenMarkov& like, const HmmRows& rows, const Sequences& sequences,
                       const SeriesOptions& options, const EmissionOptions& emission,
                       std::uint64_t random_state, int n_threads, const Poll& poll) {
    const auto fit = [&](const auto* own) {
        check_emission(like, rows, *own);
        return fit_one(like, rows, sequences, options, *own, random_state, n_threads, poll);
    };
    return std::visit(fit, emission);
}

SeriesFits fit_series(const HiddenMarkov& like, const SeriesData& data,
                      const SeriesOptions& options, const EmissionOptions& emission,
                      const std::uint64_t* random_states, int n_threads, const Poll& poll) {
    const auto fit = [&](const auto* own) {
        check_emission(like, data.rows, *own);
        return fit_each(like, data, options, *own, random_states, n_threads, poll);
    };
    return std::visit(fit, emission);
}

}  // namespace vemfast::models
