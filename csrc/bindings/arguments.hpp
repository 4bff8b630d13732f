// What the bindings take: arrays of doubles and labels, and choices by name.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bindings/bind.hpp"
#include "families/dirichlet.hpp"
#include "kernels/indexed_task.hpp"
#include "kernels/task.hpp"
#include "models/rules.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

using Vector = py::array_t<double, py::array::c_style>;
using OptionalVector = std::optional<Vector>;
using Labels = py::array_t<std::int32_t, py::array::c_style>;
using OptionalLabels = std::optional<Labels>;
using Offsets = py::array_t<std::int64_t, py::array::c_style>;
using Seeds = py::array_t<std::uint64_t, py::array::c_style>;

template <class Enum, std::size_t N>
Enum parse(const char* what, std::string_view name, const std::array<std::string_view, N>& names) {
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == name)
            return static_cast<Enum>(i);
    }
    require(false, "unknown ", what, " '", std::string(name), "'");
    return Enum{};
}

// Of detail::Covariance, or of CovarianceType, which name the same.
template <class Enum>
Enum parse_covariance(std::string_view name) {
    constexpr std::array<std::string_view, 5> kNames{"full", "tied", "diag", "spherical",
                                                     "tied-spherical"};
    return parse<Enum>("covariance type", name, kNames);
}

inline Start parse_start(std::string_view name) {
    constexpr std::array<std::string_view, 3> kNames{"kmeans", "k-means++", "random"};
    return parse<Start>("start", name, kNames);
}

inline detail::IndexedFamily parse_family(std::string_view name) {
    constexpr std::array<std::string_view, 3> kNames{"bernoulli", "poisson", "categorical"};
    return parse<detail::IndexedFamily>("family", name, kNames);
}

inline detail::WeightPrior parse_weights(std::string_view name) {
    constexpr std::array<std::string_view, 5> kNames{"flat", "dirichlet", "dirichlet_process",
                                                     "equal", "none"};
    return parse<detail::WeightPrior>("weight prior", name, kNames);
}

inline detail::LocalRule parse_local_rule(std::string_view name) {
    constexpr std::array<std::string_view, 6> kNames{"exact",  "hard",   "sampled",
                                                     "labels", "random", "given"};
    return parse<detail::LocalRule>("local rule", name, kNames);
}

inline models::ParameterRule parse_parameter_rule(std::string_view name) {
    constexpr std::array<std::string_view, 3> kNames{"point", "posterior", "sampled"};
    return parse<models::ParameterRule>("parameter rule", name, kNames);
}

inline models::Kind parse_kind(std::string_view name) {
    constexpr std::array<std::string_view, 2> kNames{"point", "posterior"};
    return parse<models::Kind>("kind of parameters", name, kNames);
}

inline Vector to_array(const std::vector<double>& values) {
    return Vector(static_cast<py::ssize_t>(values.size()), values.data());
}

inline std::vector<double> to_vector(const Vector& array) {
    return {array.data(), array.data() + array.size()};
}

inline std::vector<double> or_nothing(const OptionalVector& array) {
    return array ? to_vector(*array) : std::vector<double>();
}

// An array over memory that a vector owned.
template <class T>
py::array_t<T> handed_over(std::vector<T>&& values) {
    auto* owned = new std::vector<T>(std::move(values));
    const py::capsule owner(owned, [](void* p) { delete static_cast<std::vector<T>*>(p); });
    return py::array_t<T>(static_cast<py::ssize_t>(owned->size()), owned->data(), owner);
}

inline const double* sized(const Vector& array, std::size_t size, const char* what) {
    require(static_cast<std::size_t>(array.size()) == size, what, " has ", array.size(),
            " numbers where the model has ", size);
    return array.data();
}

inline const std::int32_t* sized_labels(const Labels& labels, std::size_t n_rows) {
    require(static_cast<std::size_t>(labels.size()) == n_rows, "labels has ", labels.size(),
            " entries for ", n_rows, " rows");
    return labels.data();
}

// Labels name a component; unless all must be known, -1 is one that is not.
inline void check_labels(const std::int32_t* labels, std::size_t n_rows, std::size_t K,
                         bool all_known = true) {
    require(labels != nullptr, "the rule 'labels' needs labels");
    for (std::size_t n = 0; n < n_rows; ++n) {
        const bool known = labels[n] >= 0 && static_cast<std::size_t>(labels[n]) < K;
        require(known || (labels[n] == -1 && !all_known), "label ", labels[n], " at row ", n,
                " is not in ", all_known ? 0 : -1, "..", K - 1);
    }
}

}  // namespace vemfast::bindings
