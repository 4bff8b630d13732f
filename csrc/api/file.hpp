// The file behind a fitted model: read or made, and checked.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/container.hpp"
#include "vemfast/model.hpp"

namespace vemfast::api {

using File = std::shared_ptr<const io::Container>;

// The classes of mixtures.
inline const std::vector<std::string_view> kMixtures{"GaussianMixture", "BernoulliMixture",
                                                     "CategoricalMixture", "PoissonMixture"};

// Both throw ModelFileError unless the file is a model of one of these classes.
File make_file(const Attributes& attributes, const std::vector<std::string_view>& classes);
File read_file(const std::string& path, const std::vector<std::string_view>& classes);

void check_class(const io::Container& file, const std::vector<std::string_view>& classes);

}  // namespace vemfast::api
