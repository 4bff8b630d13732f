// Fitted mixtures: GaussianMixture, BernoulliMixture, CategoricalMixture and PoissonMixture.
//
//     const auto model = vemfast::Mixture::load("model.safetensors");
//     const auto labels = model.predict(vemfast::Rows({data, n, d, d}));
//
// Rows hold numbers of the family, as floats or doubles: any numbers, zeros and ones, codes, or
// counts. NaN is a missing value where the model was fitted with missing="marginalize".
// Formulas: docs/formulas/gaussian_mixture.md and discrete_mixtures.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vemfast/fit.hpp"
#include "vemfast/model.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast {
inline namespace abi1 {

// All functions over rows throw std::invalid_argument for rows of another width or with values that
// the family does not have, naming row and column; Interrupted; OutOfMemory.
class VEMFAST_API Mixture : public FittedModel {
  public:
    // Throws ModelFileError (also for a model that is no mixture), or std::system_error.
    static Mixture load(const std::string& path);

    // Throws std::invalid_argument or ModelFileError, which name the attribute, where they make no
    // model.
    explicit Mixture(const Attributes& attributes);

    // What fit() returned, with the options that it was given (but for covariances_init, which the
    // estimator has no parameter for).
    Mixture(const GaussianMixtureFit& fit, const GaussianMixtureOptions& options);

    // The component of highest responsibility of each row.
    std::vector<std::int32_t> predict(const Rows& rows, int n_threads = 1,
                                      const Poll& poll = {}) const;
    // p(component | row), n x n_components.
    std::vector<double> responsibilities(const Rows& rows, int n_threads = 1,
                                         const Poll& poll = {}) const;
    // Log density of each row, nats: the posterior predictive of a mean-field fit, the mean over
    // draws of a gibbs fit. (PoissonMixture by mean-field: to rounding, not bit for bit.)
    std::vector<double> score_samples(const Rows& rows, int n_threads = 1,
                                      const Poll& poll = {}) const;
    // Its mean over the rows, by their weights if they have any (with weights to
    // rounding, not bit for bit).
    double score(const Rows& rows, int n_threads = 1, const Poll& poll = {}) const;

    class Engine;

  private:
    explicit Mixture(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
