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
#include <span>
#include <string>
#include <vector>

#include "vemfast/fit.hpp"
#include "vemfast/fit_options.hpp"
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

    // Fits a mixture of a class, "BernoulliMixture" or another, under the batch schedule; of
    // several starts the one of highest objective is kept. Parameters of all: n_components,
    // inference ("em", "variational-em", "hard-em", "mean-field"), tol, max_iter, n_init,
    // init_params, weights_init, equal_weights, weight_concentration_prior(_type), missing
    // ("error", "marginalize": NaN is a missing value), and the family's starts and priors. Throws
    // std::invalid_argument, NumericalError, Interrupted.
    static Mixture fit(const std::string& class_name, const Rows& rows, const FitOptions& options,
                       std::uint64_t random_state = 0, int n_threads = 1, const Poll& poll = {});

    // Fits one to each data set, the data sets in parallel: the i-th is that of fit() with
    // random_states[i]. A data set that cannot be fitted as the options say is reported and stops
    // nothing. Throws std::invalid_argument for another class, n_components that are none, or a
    // callback; Interrupted. For Gaussian mixtures as arrays see fit_many in fit.hpp.
    static ManyFits<Mixture> fit_many(const std::string& class_name, std::span<const Rows> data,
                                      const FitOptions& options,
                                      std::span<const std::uint64_t> random_states,
                                      int n_threads = 1, const Poll& poll = {});

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
    // Its mean over the rows, by their weights if they have any (with weights to rounding, not bit
    // for bit).
    double score(const Rows& rows, int n_threads = 1, const Poll& poll = {}) const;

    class Engine;

  private:
    friend struct ModelMaker;
    explicit Mixture(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
