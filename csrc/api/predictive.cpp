#include "api/predictive.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "exec/parallel.hpp"
#include "math/dense.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::api {

PoissonPredictive::PoissonPredictive(std::vector<double> weights, std::vector<double> shape,
                                     const std::vector<double>& rate)
    : K_(weights.size()),
      shape_(std::move(shape)),
      log_unit_(rate.size()),
      of_zero_(rate.size()),
      constants_(std::move(weights)) {
    for (double& weight : constants_)
        weight = std::log(weight);
    for (std::size_t i = 0; i < rate.size(); ++i) {
        log_unit_[i] = std::log1p(rate[i]);
        of_zero_[i] = -shape_[i] * std::log1p(1.0 / rate[i]);  // log p(count = 0)
        constants_[i % K_] += of_zero_[i];
    }
}

void PoissonPredictive::log_density(const detail::RowsView& rows, int n_threads, const Poll& poll,
                                    double* out) const {
    const auto value = [&](std::size_t n, std::size_t d) {
        const auto at = static_cast<std::ptrdiff_t>(n) * rows.row_stride +
                        static_cast<std::ptrdiff_t>(d) * rows.column_stride;
        return rows.is_float ? static_cast<double>(static_cast<const float*>(rows.data)[at])
                             : static_cast<const double*>(rows.data)[at];
    };
    const std::size_t D = rows.n_features;
    for (std::size_t n = 0; n < rows.n_rows; ++n) {
        for (std::size_t d = 0; d < D; ++d) {
            const double x = value(n, d);
            require(std::isnan(x) || (x >= 0 && x == std::floor(x)), "X contains ", x, " at row ",
                    n, ", column ", d, ", which is not a count, a whole number >= 0");
        }
    }
    const auto one = [&](std::int64_t row, int) {
        const auto n = static_cast<std::size_t>(row);
        std::vector<double> scores(constants_);
        for (std::size_t d = 0; d < D; ++d) {
            const double x = value(n, d);
            if (x == 0)
                continue;
            for (std::size_t k = 0; k < K_; ++k) {
                const std::size_t i = d * K_ + k;
                scores[k] += std::isnan(x)
                                 ? -of_zero_[i]
                                 : special::lgamma(x + shape_[i]) - special::lgamma(shape_[i]) -
                                       special::lgamma(x + 1.0) - x * log_unit_[i];
            }
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (const double score : scores)
            sum += std::exp(score - largest);
        out[n] = std::isfinite(largest) ? largest + std::log(sum) : largest;
    };
    exec::parallel_for(static_cast<std::int64_t>(rows.n_rows), n_threads, poll, one);
}

void invert_covariance(const double* covariance, std::size_t n, double* upper, double* inverse) {
    std::vector<double> lower(covariance, covariance + n * n);
    require(detail::cholesky(lower.data(), n), "covariances_ must be positive definite");
    std::vector<double> factor(n * n);
    detail::invert_lower(lower.data(), n, factor.data());
    detail::gram_lower(factor.data(), n, inverse);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j)
            upper[i * n + j] = factor[j * n + i];
    }
}

}  // namespace vemfast::api
