// Fits of autoencoders by the parameters of the Python class.
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "api/many.hpp"
#include "api/vae_rows.hpp"
#include "models/batch_fit.hpp"
#include "models/rows_view.hpp"
#include "models/vae_fit.hpp"
#include "vemfast/require.hpp"
#include "vemfast/vae.hpp"

namespace vemfast {

namespace {

using api::Chosen;
using detail::Activation;
using detail::Likelihood;

double positive(Chosen& chosen, const std::string& name, double usual) {
    const double value = chosen.real(name, usual);
    require(value > 0, name, " must be > 0; got ", value);
    return value;
}

double not_negative(Chosen& chosen, const std::string& name, double usual) {
    const double value = chosen.real(name, usual);
    require(value >= 0, name, " must be >= 0; got ", value);
    return value;
}

double decay(Chosen& chosen, const std::string& name, double usual) {
    const double value = not_negative(chosen, name, usual);
    require(value < 1, name, " must be below 1; got ", value);
    return value;
}

std::vector<std::size_t> hidden_of(Chosen& chosen) {
    std::vector<std::size_t> out;
    const Array* given = chosen.find_array("hidden_layer_sizes");
    if (given == nullptr) {
        out.push_back(static_cast<std::size_t>(chosen.integer("hidden_layer_sizes", 400, 1)));
        return out;
    }
    require(given->shape.size() == 1, "hidden_layer_sizes must be one number a layer");
    for (const double width : given->values) {
        require(width >= 1 && width <= 1e6 && width == std::floor(width),
                "hidden_layer_sizes must be whole numbers from 1 to 1000000, one a layer; got ",
                width);
        out.push_back(static_cast<std::size_t>(width));
    }
    return out;
}

models::VaeShape shape_of(Chosen& chosen, std::int64_t n_features) {
    models::VaeShape out;
    out.n_features = static_cast<std::size_t>(n_features);
    out.n_components = static_cast<std::size_t>(chosen.integer("n_components", 2, 1));
    out.hidden = hidden_of(chosen);
    constexpr Activation kActivations[] = {Activation::relu, Activation::tanh, Activation::gelu,
                                           Activation::softplus, Activation::identity};
    constexpr Likelihood kLikelihoods[] = {Likelihood::bernoulli, Likelihood::gaussian,
                                           Likelihood::poisson};
    out.activation =
        kActivations[chosen.word("activation", {"relu", "tanh", "gelu", "softplus", "identity"})];
    out.likelihood = kLikelihoods[chosen.word("likelihood", {"bernoulli", "gaussian", "poisson"})];
    require(!out.hidden.empty() || !chosen.is_given("activation"),
            "activation is of hidden_layer_sizes of one layer or more");
    const bool is_gaussian = out.likelihood == Likelihood::gaussian;
    require(is_gaussian || (!chosen.is_given("noise") && !chosen.is_given("variance_floor")),
            "noise and variance_floor are of likelihood='gaussian'");
    if (is_gaussian)
        out.n_variances = chosen.word("noise", {"spherical", "diag"}) == 0 ? 1 : out.n_features;
    return out;
}

models::VaeFitOptions options_of(Chosen& chosen, const models::VaeShape& shape) {
    models::VaeFitOptions out;
    out.rule.hard = chosen.word("inference", {"variational-em", "hard-em"}) == 1;
    require(out.rule.hard || !chosen.is_given("prior"), "prior is of inference='hard-em'");
    require(!out.rule.hard || (!chosen.is_given("beta") && !chosen.is_given("kl_warmup")),
            "beta and kl_warmup are of inference='variational-em'");
    out.rule.prior = chosen.boolean("prior", true);
    out.rule.kl_weight = not_negative(chosen, "beta", 1.0);
    out.kl_warmup = not_negative(chosen, "kl_warmup", 0.0);
    out.adam.learning_rate = positive(chosen, "learning_rate_init", 1e-3);
    out.adam.decay1 = decay(chosen, "beta_1", 0.9);
    out.adam.decay2 = decay(chosen, "beta_2", 0.999);
    out.adam.epsilon = positive(chosen, "epsilon", 1e-8);
    out.variance_floor = positive(chosen, "variance_floor", 1e-6);
    out.adam.least_log_variance = static_cast<float>(std::log(out.variance_floor));
    out.spherical = shape.n_variances == 1;
    out.batch_size = static_cast<std::size_t>(chosen.integer("batch_size", 128, 1));
    out.max_iter = static_cast<int>(chosen.integer("max_iter", 100, 1));
    out.callback = chosen.callback();
    return out;
}

std::vector<double> weights_of(const Rows& rows) {
    std::vector<double> out;
    if (rows.weights.data == nullptr)
        return out;
    Rows single = rows;
    single.is_float = true;  // what the networks compute in
    models::check_weights(models::view_to_fit(single));
    for (std::int64_t n = 0; n < rows.n; ++n) {
        out.push_back(rows.weights[n]);
        require(out.back() > 0, "row ", n, " has no weight; leave it out");
    }
    return out;
}

void add_network(const models::VaeNetwork& network, const std::vector<float>& weights,
                 Attributes& out) {
    const auto take = [&](std::size_t at, std::size_t n) {
        const auto begin = weights.begin() + static_cast<std::ptrdiff_t>(at);
        return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(n));
    };
    const auto add = [&](const std::string& part, const std::vector<models::Layer>& layers) {
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const std::size_t size = layers[i].inputs * layers[i].outputs;
            const auto inputs = static_cast<std::int64_t>(layers[i].inputs);
            const auto outputs = static_cast<std::int64_t>(layers[i].outputs);
            const std::string number = std::to_string(i);
            out.arrays[std::string(part).append("_coefs_.").append(number)] = {
                {inputs, outputs}, take(layers[i].offset, size)};
            out.arrays[std::string(part).append("_intercepts_.").append(number)] = {
                {outputs}, take(layers[i].offset + size, layers[i].outputs)};
        }
    };
    add("encoder", network.encoder());
    add("decoder", network.decoder());
    const std::size_t n = network.shape().n_variances;
    if (n == 0)
        return;
    std::vector<double> variances = take(network.size() - n, n);
    for (double& value : variances)
        value = std::exp(value);
    out.arrays["noise_variance_"] = {{static_cast<std::int64_t>(n)}, std::move(variances)};
}

VariationalAutoencoder fit_one(const Rows& rows, const FitOptions& options,
                               std::uint64_t random_state, int n_threads, const Poll& poll) {
    require(rows.n > 0 && rows.n_features > 0, "X has ", rows.n, " rows and ", rows.n_features,
            " features; at least one of each is needed");
    Chosen chosen("VariationalAutoencoder", options);
    const models::VaeShape shape = shape_of(chosen, rows.n_features);
    const models::VaeFitOptions how = options_of(chosen, shape);
    chosen.word("missing", {"error"});  // others: in Python
    chosen.refuse_others();
    const api::CheckedVaeRows checked(rows, shape.n_features, shape.likelihood, false);
    const std::vector<double> weights = weights_of(rows);
    models::VaeRows given = checked.view();
    given.weights = weights.empty() ? nullptr : weights.data();
    const models::VaeNetwork network(shape);
    const models::VaeFitted fitted =
        models::fit_vae(network, given, how, random_state, n_threads, poll);

    Attributes out = chosen.attributes(shape.n_features);
    add_network(network, fitted.weights, out);
    api::add_trace(fitted.lower_bounds, fitted.stop_reason, out);
    double weight = 0;
    for (std::size_t n = 0; n < given.n_rows; ++n)
        weight += weights.empty() ? 1.0 : weights[n];
    std::vector<double> losses;
    for (std::size_t i = 1; i < fitted.lower_bounds.size(); ++i)
        losses.push_back(-fitted.lower_bounds[i] / weight);
    const auto n_losses = static_cast<std::int64_t>(losses.size());
    out.arrays["loss_curve_"] = {{n_losses}, std::move(losses)};
    return VariationalAutoencoder(out);
}

}  // namespace

inline namespace abi1 {

VariationalAutoencoder VariationalAutoencoder::fit(const Rows& rows, const FitOptions& options,
                                                   std::uint64_t random_state, int n_threads,
                                                   const Poll& poll) {
    const PollScope asked(poll);  // also between passes that are too short to ask by themselves
    return fit_one(rows, options, random_state, n_threads, poll);
}

ManyFits<VariationalAutoencoder> VariationalAutoencoder::fit_many(
    std::span<const Rows> data, const FitOptions& options,
    std::span<const std::uint64_t> random_states, int n_threads, const Poll& poll) {
    api::n_components_of("VariationalAutoencoder", options, 2);
    constexpr double kWorkOfNumber = 6 * 400;  // six products with a layer of the usual width
    const auto work = [&](std::size_t i) {
        return kWorkOfNumber * static_cast<double>(data[i].n) *
               static_cast<double>(data[i].n_features);
    };
    return api::fit_each<VariationalAutoencoder>(
        data.size(), options, random_states, n_threads, poll, work,
        [&](std::size_t i, int threads, const Poll& ask) {
            return fit_one(data[i], options, random_states[i], threads, ask);
        });
}

}  // namespace abi1
}  // namespace vemfast
