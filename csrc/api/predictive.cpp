#include "api/predictive.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "api/rows.hpp"
#include "exec/parallel.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::api {

PoissonPredictive::PoissonPredictive(std::vector<double> weights, std::vector<double> shape,
                                     const std::vector<double>& rate)
    : K_(weights.size()),
      shape_(std::move(shape)),
      log_gamma_(rate.size()),
      log_unit_(rate.size()),
      of_zero_(rate.size()),
      constants_(std::move(weights)) {
    for (double& weight : constants_)
        weight = std::log(weight);
    for (std::size_t i = 0; i < rate.size(); ++i) {
        log_gamma_[i] = special::lgamma(shape_[i]);
        log_unit_[i] = std::log1p(rate[i]);
        of_zero_[i] = -shape_[i] * std::log1p(1.0 / rate[i]);  // log p(count = 0)
        constants_[i % K_] += of_zero_[i];
    }
}

void PoissonPredictive::log_density(const detail::RowsView& rows, int n_threads, const Poll& poll,
                                    double* out) const {
    const std::size_t D = rows.n_features;
    for (std::size_t n = 0; n < rows.n_rows; ++n) {
        for (std::size_t d = 0; d < D; ++d) {
            const double x = models::value_at(rows, n, d);
            require(std::isnan(x) || (x >= 0 && x == std::floor(x)), "X contains ", x, " at row ",
                    n, ", column ", d, ", which is not a count, a whole number >= 0");
        }
    }
    const auto one = [&](std::int64_t row, int) {
        const auto n = static_cast<std::size_t>(row);
        std::vector<double> scores(constants_);
        for (std::size_t d = 0; d < D; ++d) {
            const double x = models::value_at(rows, n, d);
            if (x == 0)
                continue;
            const double log_factorial = special::lgamma(x + 1.0);
            for (std::size_t k = 0; k < K_; ++k) {
                const std::size_t i = d * K_ + k;
                scores[k] += std::isnan(x) ? -of_zero_[i]
                                           : special::lgamma(x + shape_[i]) - log_gamma_[i] -
                                                 log_factorial - x * log_unit_[i];
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

}  // namespace vemfast::api
