#include "models/gaussian_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "isa/dispatch.hpp"
#include "math/dense.hpp"
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
std::vector<T> converted(const std::vector<double>& values) {
    return std::vector<T>(values.begin(), values.end());
}

}  // namespace

// ---- ScoreTable ----------------------------------------------------------------------------

template <class T>
void ScoreTable::fill(Arrays<T>& out, const Gaussian& family, const Gaussian::Factors& factors,
                      const double* log_weights) {
    const std::size_t D = family.n_features();
    out.constant.resize(K_);
    for (std::size_t k = 0; k < K_; ++k)
        out.constant[k] = static_cast<T>(factors.constant[k] + log_weights[k]);
    out.shift = converted<T>(factors.shift);
    if (kind_ == Covariance::full || kind_ == Covariance::diag) {
        for (T& shift : out.shift)
            shift = -shift;  // the kernels add it
    }
    if (!is_matrix(kind_)) {
        out.factor = converted<T>(factors.factor);
        if (kind_ == Covariance::tied_spherical)
            out.factor.resize(K_, out.factor[0]);
        return;
    }
    const std::size_t packed = detail::packed_triangle_size(D);
    out.factor.resize(family.n_covariances() * packed);
    for (std::size_t c = 0; c < family.n_covariances(); ++c)
        entry<T>().pack_triangle(factors.factor.data() + c * D * D, D,
                                 out.factor.data() + c * packed);
}

ScoreTable::ScoreTable(const Gaussian& family, const Gaussian::Factors& factors,
                       const double* log_weights, const std::vector<double>& origin)
    : kind_(family.kind()), K_(family.n_components()), origin_(origin) {
    fill(float_, family, factors, log_weights);
    fill(double_, family, factors, log_weights);
}

ScoreTable::ScoreTable(const Gaussian& family, const Gaussian::StudentFactors& factors,
                       const double* log_weights, const std::vector<double>& origin)
    : ScoreTable(family, static_cast<const Gaussian::Factors&>(factors), log_weights, origin) {
    float_.tail = converted<float>(factors.tail);
    float_.tail_scale = converted<float>(factors.tail_scale);
    double_.tail = factors.tail;
    double_.tail_scale = factors.tail_scale;
}

template <>
const ScoreTable::Arrays<float>& ScoreTable::arrays<float>() const {
    return float_;
}
template <>
const ScoreTable::Arrays<double>& ScoreTable::arrays<double>() const {
    return double_;
}

template <class T>
detail::GaussianScores<T> ScoreTable::view() const {
    const Arrays<T>& from = arrays<T>();
    detail::GaussianScores<T> out;
    out.kind = kind_;
    out.student = !from.tail.empty();
    out.n_components = K_;
    out.n_features = origin_.size();
    out.constant = from.constant.data();
    out.factor = from.factor.data();
    out.shift = from.shift.data();
    out.tail = from.tail.data();
    out.tail_scale = from.tail_scale.data();
    out.origin = origin_.data();
    return out;
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
        return K + shape;
    return weights_.posterior_size() + K + covariances + shape;
}

template <class Double>
detail::GaussianFields<Double> GaussianMixture::fields(Kind kind, Double* params) const {
    const std::size_t K = n_components();
    detail::GaussianFields<Double> out{};
    out.means = params + (kind == Kind::point ? K : weights_.posterior_size());
    Double* next = out.means + K * n_features();
    if (kind == Kind::posterior) {
        out.precision = next;
        out.freedom = next + K;
        next += K + components_.n_covariances();
    }
    out.scale = next;
    return out;
}

std::vector<double> GaussianMixture::log_weights(Kind kind, const double* params) const {
    std::vector<double> out(n_components());
    if (kind == Kind::posterior) {
        weights_.expected_log(params, out.data());
    } else {
        for (std::size_t k = 0; k < out.size(); ++k)
            out[k] = std::log(params[k]);
    }
    return out;
}

ScoreTable GaussianMixture::prepare(Kind kind, const double* params) const {
    const auto of = fields(kind, params);
    const Gaussian::Factors factors = components_.factors(of, kind == Kind::posterior);
    ScoreTable table(components_, factors, log_weights(kind, params).data(), origin_);
    if (marginalize_)
        table.marginalize(components_, factors, of.means);
    return table;
}

ScoreTable GaussianMixture::predictive(const double* posterior) const {
    std::vector<double> log_mean(n_components());
    weights_.mean(posterior, log_mean.data());
    for (double& w : log_mean)
        w = std::log(w);
    const auto of = fields(Kind::posterior, posterior);
    const Gaussian::StudentFactors factors = components_.predictive(of);
    ScoreTable table(components_, factors, log_mean.data(), origin_);
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

double GaussianMixture::global_term(Kind kind, const double* params) const {
    if (kind == Kind::point)
        return weights_.log_prior(params) + components_.log_prior(fields(kind, params));
    return -weights_.kl(params) - components_.kl(fields(kind, params));
}

double GaussianMixture::expected_log_joint(Kind kind, const double* params,
                                           const double* stats) const {
    const auto layout = detail::stats_layout(covariance(), n_components(), n_features());
    const double* counts = stats + layout.counts;
    const std::vector<double> weights = log_weights(kind, params);
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
    ScoreTable table(ruler, factors, log_weights.data(), origin);
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
    const detail::BlockShape shape =
        block_shape(table.n_features(), table.n_components(), sizeof(T) == 4);
    const std::size_t tile_rows = std::min(shape.tile_rows, rows.n_rows);
    const std::size_t K = table.n_components();
    const std::size_t D = table.n_features();
    std::size_t bytes = entry<T>().workspace_bytes(tile_rows, tile_features(D), K);
    if (table.missing() != nullptr)
        bytes += entry<T>().missing_bytes(tile_rows, D, K, table.has_matrices());
    return {{rows.n_rows, shape.leaf_rows, bytes, n_threads}, tile_rows};
}

template <class T>
void run_e_step(const ScoreTable& table, Covariance statistics, const detail::RowsView& rows,
                detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
                const Poll& poll, double* stats) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    const detail::MixtureTask<T> task{rows, table.view<T>(), statistics,     rule,
                                      seed, iteration,       table.missing()};
    const std::size_t size =
        detail::stats_layout(statistics, table.n_components(), table.n_features()).size;
    const auto add = [&](std::size_t first, std::size_t n, void* memory, double* out) {
        entry<T>().estep(task, first, n, plan.tile_rows, memory, out);
    };
    sum_over_rows(plan.pass, size, poll, add, stats);
}

template <class T>
void run_assign(const ScoreTable& table, const detail::RowsView& rows,
                const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    detail::MixtureTask<T> task{};
    task.rows = rows;
    task.scores = table.view<T>();
    task.missing = table.missing();
    for_each_leaf(plan.pass, poll, [&](std::size_t first, std::size_t n, void* memory) {
        entry<T>().assign(task, first, n, plan.tile_rows, memory, out);
    });
}

}  // namespace

void e_step(const ScoreTable& table, Covariance statistics, const detail::RowsView& rows,
            detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
            const Poll& poll, double* stats) {
    if (rows.is_float)
        run_e_step<float>(table, statistics, rows, rule, seed, iteration, n_threads, poll, stats);
    else
        run_e_step<double>(table, statistics, rows, rule, seed, iteration, n_threads, poll, stats);
}

void assign(const ScoreTable& table, const detail::RowsView& rows, const detail::AssignOutputs& out,
            int n_threads, const Poll& poll) {
    // A Student-t score multiplies log(1 + q / nu) by about nu / 2, and with it its rounding: a
    // million rows of floats would leave no digit of it.
    if (rows.is_float && !table.is_student())
        run_assign<float>(table, rows, out, n_threads, poll);
    else
        run_assign<double>(table, rows, out, n_threads, poll);
}

}  // namespace vemfast::models
