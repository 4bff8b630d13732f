// How the fits of every class but the Gaussian mixture's own are told what to do: by the
// constructor's parameters of the Python class, under their names.
//
//     vemfast::FitOptions options;
//     options.parameters = {{"n_components", 3}, {"inference", "mean-field"}};
//     const auto model = vemfast::HiddenMarkov::fit("PoissonHMM", rows, lengths, options);
//
// Defaults are Python's. Which parameters a fit takes says the class's `fit`; any other throws
// std::invalid_argument, which lists those. From the same start the fit is that of Python, bit for
// bit (of autoencoders but for the last bits of the first weights). What Python takes as a list of
// one array a column has a number behind its name: probabilities_init.0 and on of a
// CategoricalMixture, emissionprob_init.0 of a CategoricalHMM (of one column emissionprob_init).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vemfast/fit.hpp"
#include "vemfast/model.hpp"

namespace vemfast {
inline namespace abi1 {

struct FitOptions {
    std::map<std::string, Parameter> parameters;  // "n_components", "inference", "tol"
    std::map<std::string, Array> arrays;          // "weights_init", "transmat_prior"
    FitCallback callback;                         // of a single fit; those of many take none
};

// What fits of many data sets find.
template <class Model>
struct ManyFits {
    std::vector<std::optional<Model>> models;                    // none where a fit failed
    std::vector<std::pair<std::int64_t, std::string>> failures;  // in order, and why
};

}  // namespace abi1
}  // namespace vemfast
