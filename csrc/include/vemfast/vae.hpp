// Fitted autoencoders: VariationalAutoencoder.
//
//     const auto model = vemfast::VariationalAutoencoder::load("vae.safetensors");
//     const auto z = model.transform(rows);
//
// Formulas: docs/formulas/vae.md.
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

// q(z | row) of each row: independent normals, n x n_components each.
struct EncodedRows {
    std::vector<float> mean, log_variance;
};

// All functions over rows throw std::invalid_argument for rows of another width or with values that
// the likelihood does not have; Interrupted; OutOfMemory.
class VEMFAST_API VariationalAutoencoder : public FittedModel {
  public:
    // Throws ModelFileError (also for another model), or std::system_error.
    static VariationalAutoencoder load(const std::string& path);
    // Throws std::invalid_argument or ModelFileError, which name the attribute, where they make no
    // model.
    explicit VariationalAutoencoder(const Attributes& attributes);

    // Trains both networks by Adam, batch by batch; the callback is called before the first pass,
    // with an estimate from one batch, and after each.
    // Parameters: n_components, hidden_layer_sizes, activation, likelihood, inference
    // ("variational-em", "hard-em"), noise, variance_floor, beta, kl_warmup, prior,
    // learning_rate_init, beta_1, beta_2, epsilon, batch_size, max_iter. The first weights are
    // those of Python but for the last bits of the columns' means. Throws std::invalid_argument,
    // NumericalError, Interrupted.
    static VariationalAutoencoder fit(const Rows& rows, const FitOptions& options,
                                      std::uint64_t random_state = 0, int n_threads = 1,
                                      const Poll& poll = {});

    // Fits one to each data set, the data sets in parallel: the i-th is that of fit() with
    // random_states[i]. A data set that cannot be fitted as the options say is reported and stops
    // nothing. Throws std::invalid_argument for n_components that are none, or a callback;
    // Interrupted.
    static ManyFits<VariationalAutoencoder> fit_many(std::span<const Rows> data,
                                                     const FitOptions& options,
                                                     std::span<const std::uint64_t> random_states,
                                                     int n_threads = 1, const Poll& poll = {});

    EncodedRows encode(const Rows& rows, int n_threads = 1, const Poll& poll = {}) const;
    // The means of q(z | row), n x n_components.
    std::vector<double> transform(const Rows& rows, int n_threads = 1, const Poll& poll = {}) const;
    // What the decoder says of z (n x n_components): logits of probabilities (Bernoulli), means
    // (Gaussian), logarithms of rates (Poisson); n x n_features.
    std::vector<float> decode(const std::vector<float>& z, int n_threads = 1,
                              const Poll& poll = {}) const;
    // The means of p(row | z). (Bernoulli and Poisson: to rounding of floats, not bit for bit.)
    std::vector<double> inverse_transform(const std::vector<float>& z, int n_threads = 1,
                                          const Poll& poll = {}) const;

    class Engine;

  private:
    friend struct ModelMaker;
    explicit VariationalAutoencoder(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
