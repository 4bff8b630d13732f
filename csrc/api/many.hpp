// Fits of many data sets, each by the fit of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "models/data_sets.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/fit_options.hpp"
#include "vemfast/require.hpp"

namespace vemfast::api {

// What all fits have; throws std::invalid_argument before there is one where it is no number of
// them.
inline std::size_t n_components_of(const std::string& class_name, const FitOptions& options,
                                   std::int64_t usual = 1) {
    return static_cast<std::size_t>(Chosen(class_name, options).integer("n_components", usual, 1));
}

// Multiply-adds of an E-step over rows, about: what decides how threads are shared. Gaussians may
// have full covariances.
inline double work_of(const Rows& rows, std::size_t n_components, bool is_gaussian) {
    const auto D = static_cast<double>(rows.n_features);
    const auto K = static_cast<double>(n_components);
    const double of_row = is_gaussian ? D * D + 3.0 * D : 2.0 * D;
    return static_cast<double>(rows.n) * K * (of_row + 3.0 * K);
}

// fit(i, n_threads, poll) makes the i-th model; data sets that cannot be fitted are reported.
template <class Model, class Work, class Fit>
ManyFits<Model> fit_each(std::size_t n, const FitOptions& options,
                         std::span<const std::uint64_t> random_states, int n_threads,
                         const Poll& poll, Work&& work, Fit&& fit) {
    require(!options.callback, "fit_many takes no callback: its fits run on all threads; use poll");
    require(random_states.size() == n, "there are ", random_states.size(), " random states for ", n,
            " data sets");
    ManyFits<Model> out;
    out.models.resize(n);
    std::vector<std::string> messages(n);
    models::for_data_sets(n, n_threads, poll, work,
                          [&](std::size_t i, int /*slot*/, int threads, const Poll& ask) {
                              try {
                                  out.models[i] = fit(i, threads, ask);
                              } catch (const NumericalError& error) {
                                  messages[i] = error.what();
                              } catch (const std::invalid_argument& error) {
                                  messages[i] = error.what();
                              }
                          });
    for (std::size_t i = 0; i < n; ++i) {
        if (!messages[i].empty())
            out.failures.emplace_back(static_cast<std::int64_t>(i), std::move(messages[i]));
    }
    return out;
}

}  // namespace vemfast::api
