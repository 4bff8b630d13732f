#include "models/gaussian_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "isa/dispatch.hpp"
#include "math/dense.hpp"
#include "math/scratch.hpp"
#include "models/row_pass.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

using detail::Covariance;
using detail::Gaussian;

namespace {

template <class T>
const MixtureEntry<T>& entry() {
    if constexpr (sizeof(T) == 4)
        return kernels().mixture.on_float;
    else
        return kernels().mixture.on_double;
}

bool is_matrix(Covariance kind) {
    return kind == Covariance::full || kind == Covariance::tied;
}

template <class T>
void narrow_into(const std::vector<double>& values, std::vector<T>& out) {
    out.resize(values.size());
    std::transform(values.begin(), values.end(), out.begin(),
                   [](double value) { return static_cast<T>(value); });
}

// Largest E[sum_i (F_ji x_i)^2] of a row, feature and component, about the origin, where the
// variance of sum_i F_ji x_i is one. Rounding errors of second moments reach the covariance in this
// proportion.
double largest_spread(const Gaussian& family, const Gaussian::Factors& factors,
                      const double* means) {
    const std::size_t D = family.n_features();
    const std::vector<double>& scale = family.column_scale();
    detail::Scratch square(D);
    double largest = 0;
    for (std::size_t k = 0; k < family.n_components(); ++k) {
        const double* mean = means + k * D;
        for (std::size_t i = 0; i < D; ++i)
            square[i] = scale[i] + mean[i] * mean[i];
        const std::size_t c = family.shared() ? 0 : k;
        const double* factor = factors.factor.data();
        if (family.matrix()) {
            for (std::size_t j = 0; j < D; ++j) {
                const double* row = factor + (c * D + j) * D;
                double spread = 0;
                for (std::size_t i = 0; i <= j; ++i)
                    spread += row[i] * row[i] * square[i];
                largest = std::max(largest, spread);
            }
        } else if (family.kind() == Covariance::diag) {
            for (std::size_t i = 0; i < D; ++i)
                largest = std::max(largest, factor[c * D + i] * factor[c * D + i] * square[i]);
        } else {
            const double sum = std::accumulate(square.data(), square.data() + D, 0.0);
            largest = std::max(largest, factor[c] * sum / static_cast<double>(D));
        }
    }
    return largest;
}

// Above this spread, float rows are treated in double. A variance with the relative error e costs
// its rows e^2 / 4 nats each; e is a few times spread x 6e-8, so this keeps the cost below 1e-6.
constexpr double kFloatSpread = 4096;

}  // namespace

// ---- ScoreTable ----------------------------------------------------------------------------

void ScoreTable::fill(const Gaussian& family, const Gaussian::Factors& factors, const double* means,
                      const double* log_weights, const std::vector<double>& origin) {
    const std::size_t D = family.n_features();
    kind_ = family.kind();
    K_ = family.n_components();
    origin_ = origin;
    missing_ = {};
    needs_double_ = largest_spread(family, factors, means) > kFloatSpread;
    ScoreArrays<double>& out = arrays_;
    out.tail.clear();
    out.tail_scale.clear();
    out.constant.resize(K_);
    for (std::size_t k = 0; k < K_; ++k)
        out.constant[k] = factors.constant[k] + log_weights[k];
    out.shift = factors.shift;
    if (kind_ == Covariance::full || kind_ == Covariance::diag) {
        for (double& shift : out.shift)
            shift = -shift;  // the kernels add it
    }
    if (!is_matrix(kind_)) {
        out.factor = factors.factor;
        if (kind_ == Covariance::tied_spherical)
            out.factor.resize(K_, out.factor[0]);
        return;
    }
    const std::size_t packed = detail::packed_triangle_size(D);
    out.factor.resize(family.n_covariances() * packed);
    for (std::size_t c = 0; c < family.n_covariances(); ++c)
        kernels().mixture.pack_triangle(factors.factor.data() + c * D * D, D,
                                        out.factor.data() + c * packed);
}

void ScoreTable::set_tails(const Gaussian::StudentFactors& factors) {
    arrays_.tail = factors.tail;
    arrays_.tail_scale = factors.tail_scale;
}

template <class T>
detail::GaussianScores<T> ScoreTable::view_of(const ScoreArrays<T>& arrays) const {
    detail::GaussianScores<T> out;
    out.kind = kind_;
    out.student = is_student();
    out.n_components = K_;
    out.n_features = origin_.size();
    out.constant = arrays.constant.data();
    out.factor = arrays.factor.data();
    out.shift = arrays.shift.data();
    out.tail = arrays.tail.data();
    out.tail_scale = arrays.tail_scale.data();
    out.origin = origin_.data();
    return out;
}

detail::GaussianScores<double> ScoreTable::view(ScoreArrays<double>& /*unused*/) const {
    return view_of(arrays_);
}

detail::GaussianScores<float> ScoreTable::view(ScoreArrays<float>& narrow) const {
    narrow_into(arrays_.constant, narrow.constant);
    narrow_into(arrays_.factor, narrow.factor);
    narrow_into(arrays_.shift, narrow.shift);
    narrow_into(arrays_.tail, narrow.tail);
    narrow_into(arrays_.tail_scale, narrow.tail_scale);
    return view_of(narrow);
}

bool ScoreTable::has_matrices() const {
    return is_matrix(kind_);
}

void ScoreTable::marginalize(const Gaussian& family, const Gaussian::Factors& factors,
                             const double* means) {
    constexpr double kHalfLog2Pi = 0.91893853320467274178;
    const std::size_t D = family.n_features();
    std::vector<double> gain((D + 1) * K_);
    for (std::size_t m = 0; m <= D; ++m)
        std::fill_n(gain.begin() + static_cast<std::ptrdiff_t>(m * K_), K_,
                    static_cast<double>(m) * kHalfLog2Pi);
    set_missing(family, factors, means, gain);
}

void ScoreTable::marginalize(const Gaussian& family, const Gaussian::StudentFactors& factors,
                             const double* means) {
    set_missing(family, factors, means, factors.gain);
}

// Arrays of detail::MissingScores, one behind the other. Components beyond K have unit precision.
void ScoreTable::set_missing(const Gaussian& family, const Gaussian::Factors& factors,
                             const double* means, const std::vector<double>& gain) {
    const std::size_t D = family.n_features();
    constexpr std::size_t Q = detail::kLaneQuantum;
    const std::size_t stride = (K_ + Q - 1) / Q * Q;
    const bool matrix = has_matrices();
    const bool tied = kind_ == Covariance::tied;
    const bool diag = kind_ == Covariance::diag;
    const std::size_t width = tied ? Q : stride;  // lanes of a precision
    const std::size_t precision_size = (matrix ? D * D : diag ? D : 1) * width;
    const std::size_t gain_size = (D + 1) * stride;
    std::vector<double> lanes(precision_size + 3 * D * stride + gain_size + (tied ? D * D : 0));
    double* precision = lanes.data();
    double* mean = precision + precision_size;
    double* pull = mean + D * stride;
    double* centre = pull + D * stride;
    double* gains = centre + D * stride;
    double* root = gains + gain_size;
    for (std::size_t k = 0; k < K_; ++k) {
        for (std::size_t i = 0; i < D; ++i)
            mean[i * stride + k] = means[k * D + i];
        for (std::size_t m = 0; m <= D; ++m)
            gains[m * stride + k] = gain[m * K_ + k];
    }
    if (matrix) {
        std::vector<double> product(D * D);
        for (std::size_t k = 0; k < width; ++k) {
            const bool real = tied || k < K_;
            if (real && !(tied && k > 0))
                detail::gram_lower(factors.factor.data() + (tied ? 0 : k * D * D), D,
                                   product.data());
            for (std::size_t i = 0; i < D; ++i) {
                for (std::size_t j = 0; j < D; ++j)
                    precision[(i * D + j) * width + k] =
                        real ? product[i * D + j] : static_cast<double>(i == j);
            }
        }
        for (std::size_t k = 0; k < K_; ++k) {
            for (std::size_t i = 0; i < D; ++i) {
                for (std::size_t j = 0; j < D; ++j)
                    pull[i * stride + k] +=
                        precision[(i * D + j) * width + (tied ? 0 : k)] * means[k * D + j];
                centre[i * stride + k] = factors.shift[k * D + i];
            }
        }
        if (tied)
            std::copy_n(factors.factor.begin(), D * D, root);
    } else {
        for (std::size_t k = 0; k < K_; ++k) {
            const std::size_t c = kind_ == Covariance::tied_spherical ? 0 : k;
            for (std::size_t i = 0; i < (diag ? D : 1); ++i) {
                const double factor = factors.factor[diag ? k * D + i : c];
                precision[i * stride + k] = diag ? factor * factor : factor;
            }
            for (std::size_t i = 0; i <= (diag ? D - 1 : D); ++i) {
                // By feature for diag, by number for the others.
                const double number = diag ? 1.0 : static_cast<double>(i);
                gains[i * stride + k] =
                    gain[(diag ? 1 : i) * K_ + k] -
                    0.5 * number * std::log(precision[(diag ? i * stride : 0) + k]);
            }
        }
    }
    lanes_ = std::make_shared<const std::vector<double>>(std::move(lanes));
    const double* data = lanes_->data();
    const auto at = [&](const double* pointer) { return data + (pointer - precision); };
    missing_ = {stride, data, at(mean), at(pull), at(root), at(centre), at(gains)};
}

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

ScoreTable nearest_table(std::size_t n_components, const double* centres,
                         const std::vector<double>& metric, const std::vector<double>& origin,
                         bool marginalize) {
    const Gaussian ruler(Covariance::diag, n_components, metric.size(), {}, metric, 0.0);
    std::vector<double> variances;
    for (std::size_t k = 0; k < n_components; ++k)
        variances.insert(variances.end(), metric.begin(), metric.end());
    const std::vector<double> log_weights(n_components, 0.0);
    const Gaussian::Factors factors =
        ruler.factors({centres, nullptr, nullptr, variances.data()}, false);
    ScoreTable table;
    table.fill(ruler, factors, centres, log_weights.data(), origin);
    if (marginalize)
        table.marginalize(ruler, factors, centres);
    return table;
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
