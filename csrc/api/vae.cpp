#include "vemfast/vae.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/components.hpp"
#include "api/file.hpp"
#include "api/vae_rows.hpp"
#include "io/fields.hpp"
#include "models/vae.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using detail::Activation;
using detail::Likelihood;

const std::vector<std::string_view> kClasses{"VariationalAutoencoder"};

models::VaeShape shape_of(const io::Container& file) {
    const io::Parameters given(file);
    models::VaeShape shape;
    shape.n_features = io::n_features_of(file);
    shape.n_components = static_cast<std::size_t>(given.integer("n_components", 2, 1));
    shape.hidden = io::hidden_widths(given);
    const std::string activation =
        given.word("activation", {"relu", "tanh", "gelu", "softplus", "identity"});
    shape.activation = activation == "tanh"       ? Activation::tanh
                       : activation == "relu"     ? Activation::relu
                       : activation == "gelu"     ? Activation::gelu
                       : activation == "softplus" ? Activation::softplus
                                                  : Activation::identity;
    const std::string likelihood = given.word("likelihood", {"bernoulli", "gaussian", "poisson"});
    shape.likelihood = likelihood == "bernoulli"  ? Likelihood::bernoulli
                       : likelihood == "gaussian" ? Likelihood::gaussian
                                                  : Likelihood::poisson;
    if (shape.likelihood == Likelihood::gaussian)
        shape.n_variances = io::numbers_of(file, "noise_variance_").size();
    return shape;
}

std::vector<float> weights_of(const io::Container& file, const models::VaeNetwork& network) {
    std::vector<float> out;
    const auto add = [&](const std::string& name) {
        for (const double value : io::numbers_of(file, name))
            out.push_back(static_cast<float>(value));
    };
    const auto add_layers = [&](const std::string& part, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            const std::string number = std::to_string(i);
            add(std::string(part).append("_coefs_.").append(number));
            add(std::string(part).append("_intercepts_.").append(number));
        }
    };
    add_layers("encoder", network.encoder().size());
    add_layers("decoder", network.decoder().size());
    if (network.shape().n_variances > 0) {
        for (const double variance : io::numbers_of(file, "noise_variance_"))
            out.push_back(static_cast<float>(std::log(variance)));
    }
    return out;
}

}  // namespace

inline namespace abi1 {

class VariationalAutoencoder::Engine {
  public:
    explicit Engine(const io::Container& file)
        : takes_nan_(api::takes_nan(io::Parameters(file))),
          network_(shape_of(file)),
          weights_(weights_of(file, network_)) {}

    const models::VaeShape& shape() const { return network_.shape(); }

    EncodedRows encode(const Rows& rows, int n_threads, const Poll& poll) const {
        const api::CheckedVaeRows given(rows, shape().n_features, shape().likelihood, takes_nan_);
        const std::size_t n = given.view().n_rows;
        EncodedRows out{std::vector<float>(n * shape().n_components),
                        std::vector<float>(n * shape().n_components)};
        network_.encode(weights_.data(), given.view(), n_threads, poll, out.mean.data(),
                        out.log_variance.data());
        return out;
    }

    std::vector<float> decode(const std::vector<float>& z, int n_threads, const Poll& poll) const {
        const std::size_t K = shape().n_components;
        require(z.size() % K == 0, "z has ", z.size(), " numbers, which are no rows of ", K);
        require(std::all_of(z.begin(), z.end(), [](float x) { return std::isfinite(x); }),
                "z must be finite");
        std::vector<float> out(z.size() / K * shape().n_features);
        network_.decode(weights_.data(), z.data(), z.size() / K, n_threads, poll, out.data());
        return out;
    }

  private:
    bool takes_nan_;
    models::VaeNetwork network_;
    std::vector<float> weights_;
};

VariationalAutoencoder::VariationalAutoencoder(std::shared_ptr<const io::Container> file)
    : FittedModel(std::move(file)), engine_(std::make_shared<const Engine>(*file_)) {}

VariationalAutoencoder VariationalAutoencoder::load(const std::string& path) {
    return VariationalAutoencoder(api::read_file(path, kClasses));
}

VariationalAutoencoder::VariationalAutoencoder(const Attributes& attributes)
    : VariationalAutoencoder(api::make_file(attributes, kClasses)) {}

EncodedRows VariationalAutoencoder::encode(const Rows& rows, int n_threads,
                                           const Poll& poll) const {
    return engine_->encode(rows, n_threads, poll);
}

std::vector<double> VariationalAutoencoder::transform(const Rows& rows, int n_threads,
                                                      const Poll& poll) const {
    const EncodedRows found = encode(rows, n_threads, poll);
    return {found.mean.begin(), found.mean.end()};
}

std::vector<float> VariationalAutoencoder::decode(const std::vector<float>& z, int n_threads,
                                                  const Poll& poll) const {
    return engine_->decode(z, n_threads, poll);
}

std::vector<double> VariationalAutoencoder::inverse_transform(const std::vector<float>& z,
                                                              int n_threads,
                                                              const Poll& poll) const {
    const std::vector<float> found = decode(z, n_threads, poll);
    std::vector<double> out(found.begin(), found.end());
    switch (engine_->shape().likelihood) {
        case Likelihood::bernoulli:
            for (double& x : out)
                x = 1.0 / (1.0 + std::exp(-x));
            break;
        case Likelihood::poisson:
            for (double& x : out)
                x = std::exp(x);
            break;
        case Likelihood::gaussian:
            break;
    }
    return out;
}

}  // namespace abi1
}  // namespace vemfast
