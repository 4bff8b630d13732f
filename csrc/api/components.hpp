// Models that can only score, made of fitted attributes: without priors and without a data scale.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "api/rows.hpp"
#include "io/schemas.hpp"
#include "models/discrete_mixture.hpp"
#include "models/gaussian_mixture.hpp"

namespace vemfast::api {

// What a family needs to be told of a file.
struct ComponentsOf {
    const io::Container* file;
    std::size_t n_components;  // of the mixture: of a chain with n_mix, of all its states
    detail::WeightPrior weights;
};

bool takes_nan(const io::Parameters& given);

// `usual`: the default of covariance_type.
detail::Covariance covariance_type(const io::Parameters& given, const char* usual);

models::GaussianMixture gaussian_components(const ComponentsOf& of, detail::Covariance type);

// Means relative to the origin, behind what is in `params`.
void append_means(const io::Container& file, const std::string& name, std::vector<double>& params);

models::DiscreteMixture discrete_components(const ComponentsOf& of, const IndexedReader& reader);

// How the rows of a file's family are read.
IndexedReader reader_of(const io::Container& file, detail::IndexedFamily family);

// An attribute as the models have it: by feature, the component last. Of codes the columns one
// behind the other; `numbered` is whether there may be several.
std::vector<double> table_of(const io::Container& file, const std::string& name,
                             std::size_t n_components, const IndexedReader& reader, bool numbered);

void append(std::vector<double>& params, const std::vector<double>& more);

}  // namespace vemfast::api
