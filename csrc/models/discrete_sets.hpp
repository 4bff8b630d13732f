// What fits of many discrete data sets share: the rows of one, where its components begin, and the
// priors that follow its means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "models/discrete_mixture.hpp"

namespace vemfast::models {

// Some of the rows, dense; draws are keyed as if they were all.
detail::IndexedRows slice(const detail::IndexedRows& rows, std::size_t first, std::size_t n);

// Probabilities or rates (F x K) of groups by k-means of points (n x F) with weights or null;
// `lloyd` and `roots` as of start_table.
void first_table(const std::vector<double>& points, const double* weights,
                 const detail::IndexedShape& shape, bool roots, std::uint64_t seed, int lloyd,
                 double* out);

// A mixture of counts whose rates have gamma priors of these shapes and of the points' own means.
std::unique_ptr<DiscreteMixture> with_own_rates(const DiscreteMixture& like,
                                                const std::vector<double>& shapes,
                                                const std::vector<double>& points,
                                                const double* weights);

// The sum of the absolute terms of the scores of counts, nats: most of it the log factorials take
// out again. Responsibilities (K), statistics (F x K), and rates, or shapes and rates of theirs.
double size_of_count_terms(const double* counts, const double* sums, Kind kind,
                           const double* components, std::size_t F, std::size_t K);

}  // namespace vemfast::models
