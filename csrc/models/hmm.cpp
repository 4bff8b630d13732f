#include "models/hmm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "isa/dispatch.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
constexpr double kLogOfZero = -1e300;  // times a share of zero, zero

std::variant<ScoreTable, IndexedTable> prepare_emission(const Emissions& emission, Kind kind,
                                                        const double* params) {
    return std::visit(
        [&](const auto* family) -> std::variant<ScoreTable, IndexedTable> {
            return family->prepare(kind, params);
        },
        emission);
}

// A count below the smallest normal number is none: as a share of its row it may be 0.
double product(double count, double log_value) {
    return count >= std::numeric_limits<double>::min() ? count * log_value : 0.0;
}

}  // namespace

// ---- HmmTable ------------------------------------------------------------------------------

HmmTable::HmmTable(const HiddenMarkov& model, Kind kind, const double* params)
    : model_(&model),
      kind_(kind),
      params_(params, params + model.params_size(kind)),
      emission_(prepare_emission(model.emission(), kind, params + model.emission_at())) {
    const std::size_t K = model.n_states();
    for (std::size_t i = K * (K + 1); i < model.emission_at(); ++i)
        log_mix_.push_back(std::log(params[i]));
    const std::size_t ld = whole_vectors<double>(K);
    std::vector<double> log_start(K);
    std::vector<double> log_rows(K * K);
    model.log_chain(kind, params, log_start.data(), log_rows.data());

    const std::size_t matrix = K * ld;
    const std::size_t size = 3 * (ld + 2 * matrix);
    memory_ = std::shared_ptr<void>(exec::allocate(size * sizeof(double)));
    double* plain = static_cast<double*>(memory_.get());
    double* logs = plain + ld + 2 * matrix;
    double* sweeps = logs + ld + 2 * matrix;
    std::fill(plain, logs, 0.0);
    std::fill(logs, sweeps, kMinusInfinity);
    std::fill(sweeps, plain + size, 0.0);
    for (std::size_t j = 0; j < K; ++j) {
        logs[j] = log_start[j];
        sweeps[j] = std::max(log_start[j], kLogOfZero);
        plain[j] = std::exp(log_start[j]);
        for (std::size_t i = 0; i < K; ++i) {
            const double value = log_rows[i * K + j];
            // A point's own numbers, without the detour through logarithms.
            const double p = kind == Kind::point ? params[K + i * K + j] : std::exp(value);
            has_zeros_ = has_zeros_ || !(p > 0);
            logs[ld + i * ld + j] = logs[ld + matrix + j * ld + i] = value;
            sweeps[ld + i * ld + j] = sweeps[ld + matrix + j * ld + i] =
                std::max(value, kLogOfZero);
            plain[ld + i * ld + j] = plain[ld + matrix + j * ld + i] = p;
        }
        if (kind == Kind::point)
            plain[j] = params[j];
    }
    chain_ = {K,
              ld,
              plain,
              plain + ld,
              plain + ld + matrix,
              logs,
              logs + ld,
              logs + ld + matrix,
              sweeps,
              sweeps + ld,
              sweeps + ld + matrix,
              &interruption_point};
}

// ---- HiddenMarkov --------------------------------------------------------------------------

HiddenMarkov::HiddenMarkov(Emissions emission, detail::Simplex start,
                           std::vector<detail::Simplex> transitions, SweepLimits sweeps,
                           std::vector<detail::Simplex> mix)
    : emission_(emission),
      start_(std::move(start)),
      transitions_(std::move(transitions)),
      mix_(std::move(mix)),
      sweeps_(sweeps) {}

std::size_t HiddenMarkov::stats_size() const {
    const std::size_t emission =
        std::visit([](const auto* family) { return family->stats_size(); }, emission_);
    return chain_size() + emission;
}

std::size_t HiddenMarkov::params_size(Kind kind) const {
    const std::size_t emission =
        std::visit([&](const auto* family) { return family->params_size(kind); }, emission_);
    return emission_at() + emission;
}

void HiddenMarkov::update(ParameterRule rule, Kind previous_kind, const double* previous,
                          const double* stats, std::uint64_t seed, std::uint32_t iteration,
                          double* out) const {
    const std::size_t K = n_states();
    // The emission's header lies over the last transitions; nobody reads it.
    const double* starts = stats + 2;
    const double* counts = starts + K;
    const double* of_emission = stats + chain_size();
    std::vector<double> before;
    if (previous != nullptr && previous_kind == Kind::point) {
        before.assign(previous, previous + chain_size());
    } else if (previous != nullptr) {
        before.resize(chain_size());
        mean_chain(previous, before.data());
    }
    random::Stream stream(seed, iteration, random::kParameterStream, 0);
    const auto row = [&](const detail::Simplex& simplex, const double* row_counts, std::size_t at) {
        if (rule == ParameterRule::posterior)
            simplex.posterior(row_counts, out + at);
        else if (rule == ParameterRule::sampled)
            simplex.sample(row_counts, stream, out + at);
        else
            simplex.mode(row_counts, before.empty() ? nullptr : &before[at], out + at);
    };
    row(start_, starts, 0);
    for (std::size_t i = 0; i < K; ++i)
        row(transitions_[i], counts + i * K, K + i * K);
    const double* of_components = of_emission + 2;
    for (std::size_t k = 0; k < mix_.size(); ++k) {
        const std::size_t at = chain_size() + k * n_mix();
        mix_[k].mode(of_components + k * n_mix(), previous == nullptr ? nullptr : previous + at,
                     out + at);
    }
    const double* last = previous == nullptr ? nullptr : previous + emission_at();
    std::visit(
        [&](const auto* family) {
            family->update(rule, previous_kind, last, of_emission, seed, iteration,
                           out + emission_at());
        },
        emission_);
}

double HiddenMarkov::global_term(Kind kind, const double* params) const {
    const std::size_t K = n_states();
    const auto row = [&](const detail::Simplex& simplex, const double* values) {
        return kind == Kind::point ? simplex.log_prior(values) : -simplex.kl(values);
    };
    double sum = row(start_, params);
    for (std::size_t i = 0; i < K; ++i)
        sum += row(transitions_[i], params + K + i * K);
    for (std::size_t k = 0; k < mix_.size(); ++k)
        sum += mix_[k].log_prior(params + chain_size() + k * n_mix());
    return sum + std::visit(
                     [&](const auto* family) {
                         return family->global_term(kind, params + emission_at());
                     },
                     emission_);
}

double HiddenMarkov::expected_log_joint(Kind kind, const double* params,
                                        const double* stats) const {
    const std::size_t K = n_states();
    std::vector<double> start(K);
    std::vector<double> rows(K * K);
    log_chain(kind, params, start.data(), rows.data());
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k)
        sum += product(stats[2 + k], start[k]);
    for (std::size_t i = 0; i < K * K; ++i)
        sum += product(stats[2 + K + i], rows[i]);
    for (std::size_t i = 0; i < mix_size(); ++i)
        sum += product(stats[chain_size() + 2 + i], std::log(params[chain_size() + i]));
    return sum + std::visit(
                     [&](const auto* family) {
                         return family->expected_log_joint(kind, params + emission_at(),
                                                           stats + chain_size());
                     },
                     emission_);
}

void HiddenMarkov::log_chain(Kind kind, const double* params, double* start,
                             double* transitions) const {
    const std::size_t K = n_states();
    const auto row = [&](const detail::Simplex& simplex, const double* values, double* out) {
        if (kind == Kind::point)
            simplex.log_of(values, out);
        else
            simplex.expected_log(values, out);
    };
    row(start_, params, start);
    for (std::size_t i = 0; i < K; ++i)
        row(transitions_[i], params + K + i * K, transitions + i * K);
}

void HiddenMarkov::mean_chain(const double* posterior, double* out) const {
    const std::size_t K = n_states();
    start_.mean(posterior, out);
    for (std::size_t i = 0; i < K; ++i)
        transitions_[i].mean(posterior + K + i * K, out + K + i * K);
}

}  // namespace vemfast::models
