#include "models/hmm_starts.hpp"

#include <utility>

#include "models/rows_view.hpp"
#include "models/starts.hpp"

namespace vemfast::models {

namespace {

std::vector<std::int32_t> grouped(const std::vector<double>& points,
                                  const std::vector<double>& weights, std::size_t n_groups,
                                  std::uint64_t seed, int lloyd) {
    const std::size_t n = weights.size();
    const std::size_t D = points.size() / n;
    std::vector<double> centres(n_groups * D);
    kmeans(points.data(), n, D, weights.data(), n_groups, seed, lloyd, centres.data());
    return nearest_centres(points.data(), n, D, centres);
}

// The component of each point; none where a group has too few points.
std::vector<std::int32_t> components(const StartPoints& points, std::size_t n_states,
                                     std::size_t n_mix, std::uint64_t seed, int lloyd) {
    const std::size_t n = points.weights.size();
    const std::size_t D = points.x.size() / n;
    const std::vector<std::int32_t> of_state =
        grouped(points.x, points.weights, n_states, seed, lloyd);
    std::vector<std::int32_t> out(n);
    for (std::size_t k = 0; k < n_states; ++k) {
        std::vector<std::size_t> own;
        std::vector<double> x;
        std::vector<double> weights;
        for (std::size_t i = 0; i < n; ++i) {
            if (of_state[i] != static_cast<std::int32_t>(k))
                continue;
            own.push_back(i);
            const auto from = points.x.begin() + static_cast<std::ptrdiff_t>(i * D);
            x.insert(x.end(), from, from + static_cast<std::ptrdiff_t>(D));
            weights.push_back(points.weights[i]);
        }
        if (own.size() < n_mix)
            return {};
        const std::vector<std::int32_t> within = grouped(x, weights, n_mix, seed, lloyd);
        for (std::size_t i = 0; i < own.size(); ++i)
            out[own[i]] = static_cast<std::int32_t>(k * n_mix) + within[i];
    }
    return out;
}

}  // namespace

LabelledRows::LabelledRows(const Setup& setup, const detail::RowsView& rows, std::size_t n_mix,
                           Start start, std::uint64_t seed)
    : view_(rows) {
    const std::size_t D = rows.n_features;
    const double* scale = setup.model.column_scale().data();
    StartPoints points = start_points(rows, setup.origin.data(), scale, seed);
    labels_ = components(points, setup.model.n_components() / n_mix, n_mix, seed,
                         lloyd_iterations(start));
    for (const std::size_t row : points.rows) {
        for (std::size_t i = 0; i < D; ++i) {
            if (rows.is_float)
                floats_.push_back(static_cast<float>(value_at(rows, row, i)));
            else
                doubles_.push_back(value_at(rows, row, i));
        }
    }
    weights_ = std::move(points.weights);
    view_.data = rows.is_float ? static_cast<const void*>(floats_.data()) : doubles_.data();
    view_.row_stride = static_cast<std::ptrdiff_t>(D);
    view_.column_stride = 1;
    view_.n_rows = weights_.size();
    view_.weights = weights_.data();
    view_.weight_stride = 1;
    view_.labels = labels_.empty() ? nullptr : labels_.data();
}

}  // namespace vemfast::models
