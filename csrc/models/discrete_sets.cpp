#include "models/discrete_sets.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "models/discrete_starts.hpp"
#include "models/indexed_pass.hpp"
#include "models/starts.hpp"

namespace vemfast::models {

using detail::IndexedRows;

IndexedRows slice(const IndexedRows& rows, std::size_t first, std::size_t n) {
    IndexedRows part = rows;
    part.data = static_cast<const char*>(rows.data) +
                static_cast<std::ptrdiff_t>(first * item_size(rows.storage)) * rows.row_stride;
    part.n_rows = n;
    part.weights = rows.weights == nullptr ? nullptr : rows.weights + first;
    part.base = rows.base == nullptr ? nullptr : rows.base + first;
    return part;
}

void first_table(const std::vector<double>& points, const double* weights,
                 const detail::IndexedShape& shape, bool roots, std::uint64_t seed, int lloyd,
                 double* out) {
    const std::size_t F = shape.n_values;
    std::vector<double> usual(F, 0.5);
    for (std::size_t d = 0; d + 1 < shape.column_offsets.size(); ++d) {
        const auto begin = shape.column_offsets[d];
        const auto end = shape.column_offsets[d + 1];
        std::fill(usual.begin() + begin, usual.begin() + end,
                  1.0 / static_cast<double>(end - begin));
    }
    const std::vector<std::size_t> chosen =
        start_rows(points.size() / F, weights, most_start_rows(F, shape.n_components), seed);
    std::vector<double> x;
    std::vector<double> own;
    x.reserve(chosen.size() * F);
    own.reserve(chosen.size());
    for (const std::size_t row : chosen) {
        const double* from = points.data() + row * F;
        x.insert(x.end(), from, from + F);
        own.push_back(weights == nullptr ? 1.0 : weights[row]);
    }
    start_table({x.data(), chosen.size(), own.data(), nullptr}, F, shape.n_components, usual.data(),
                roots, seed, lloyd, out);
}

std::unique_ptr<DiscreteMixture> with_own_rates(const DiscreteMixture& like,
                                                const std::vector<double>& shapes,
                                                const std::vector<double>& points,
                                                const double* weights) {
    const std::size_t F = like.shape().n_values;
    const std::size_t n = points.size() / F;
    std::vector<double> rates(F, 0.0);
    std::vector<double> present(F, 0.0);
    for (std::size_t r = 0; r < n; ++r) {
        const double w = weights == nullptr ? 1.0 : weights[r];
        for (std::size_t f = 0; f < F; ++f) {
            const double x = points[r * F + f];
            rates[f] += std::isnan(x) ? 0.0 : w * x;
            present[f] += std::isnan(x) ? 0.0 : w;
        }
    }
    for (std::size_t f = 0; f < F; ++f)
        rates[f] = rates[f] > 0 ? 1.0 / (rates[f] / present[f]) : 1.0;
    return std::make_unique<DiscreteMixture>(
        like.weights(), detail::make_indexed(detail::IndexedFamily::poisson, like.shape(),
                                             {true, shapes, std::move(rates)}));
}

double size_of_count_terms(const double* counts, const double* sums, Kind kind,
                           const double* components, std::size_t F, std::size_t K) {
    double size = 0;
    for (std::size_t i = 0; i < F * K; ++i) {
        const double rate =
            kind == Kind::point ? components[i] : components[i] / components[F * K + i];
        size += sums[i] * std::abs(std::log(std::max(rate, std::numeric_limits<double>::min()))) +
                rate * counts[i % K];
    }
    return size;
}

}  // namespace vemfast::models
