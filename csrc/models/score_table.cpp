// What rows are scored with: made from the factors of Gaussian components.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "isa/dispatch.hpp"
#include "math/dense.hpp"
#include "math/scratch.hpp"
#include "models/gaussian_mixture.hpp"

namespace vemfast::models {

using detail::Covariance;
using detail::Gaussian;

namespace {

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

}  // namespace vemfast::models
