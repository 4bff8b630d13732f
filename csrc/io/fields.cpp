#include "io/fields.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "io/refuse.hpp"

namespace vemfast::io {

namespace {

using Kind = Field::Kind;

Field tensor(Shape shape, Rule rule, std::string group = "") {
    Field out;
    out.shape = std::move(shape);
    out.rule = std::move(rule);
    out.group = std::move(group);
    return out;
}

Field plain(Kind kind, std::string group = "", std::int64_t least = 0) {
    Field out;
    out.kind = kind;
    out.group = std::move(group);
    out.least = least;
    return out;
}

Field real(Rule rule, std::string group = "") {
    Field out = plain(Kind::real, std::move(group));
    out.rule = std::move(rule);
    return out;
}

Shape draws(std::initializer_list<Length> shape) {
    Shape out{"chains", "draws*"};
    out.insert(out.end(), shape);
    return out;
}

Shape draws(const Shape& shape) {
    Shape out{"chains", "draws*"};
    out.insert(out.end(), shape.begin(), shape.end());
    return out;
}

void append(Fields& out, Fields more) {
    std::move(more.begin(), more.end(), std::back_inserter(out));
}

std::size_t size_of(const Parameters& given, std::string_view name, std::int64_t otherwise) {
    return static_cast<std::size_t>(given.integer(name, otherwise, 1));
}

Fields common(std::size_t D) {
    Field names = plain(Kind::names, "names");
    names.shape = {D};
    Field reason = plain(Kind::word, "fit");
    reason.words = {"tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit"};
    return {{"n_features_in_", plain(Kind::integer, "", 1)},
            {"feature_names_in_", names},
            {"lower_bound_", real(finite, "fit")},
            {"lower_bounds_", tensor({"iterations"}, finite, "fit")},
            {"n_iter_", plain(Kind::integer, "fit")},
            {"converged_", plain(Kind::boolean, "fit")},
            {"stop_reason_", reason},
            {"n_e_steps_", plain(Kind::integer, "e-steps", 1)}};
}

// ---- mixtures ------------------------------------------------------------------------------

bool has_sticks(const Parameters& given) {
    const std::string type =
        given.word("weight_concentration_prior_type",
                   {"dirichlet", "dirichlet_process", "dirichlet_distribution"});
    return type == "dirichlet_process" && !given.boolean("equal_weights", false);
}

Fields mixture(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 1);
    Fields out = common(D);
    out.emplace_back("weights_", tensor({K}, stochastic));
    out.emplace_back("weight_concentration_",
                     tensor(has_sticks(given) ? Shape{2, K} : Shape{K}, positive, "posterior"));
    out.emplace_back("posterior_.log_joint", tensor(draws(Shape{}), finite, "draws"));
    out.emplace_back("posterior_.log_likelihood", tensor(draws(Shape{}), finite, "draws"));
    out.emplace_back("posterior_.weights", tensor(draws({K}), stochastic, "draws"));
    return out;
}

struct Covariances {
    Shape shape;
    bool is_matrix, is_shared;
};

Covariances covariances_of(const std::string& type, std::size_t K, std::size_t D) {
    if (type == "full")
        return {{K, D, D}, true, false};
    if (type == "tied")
        return {{D, D}, true, true};
    if (type == "diag")
        return {{K, D}, false, false};
    if (type == "spherical")
        return {{K}, false, false};
    return {{}, false, true};
}

// Gaussian components, of a mixture or of states.
Fields gaussians(const Covariances& of, const char* covariances, std::size_t K, std::size_t D) {
    const Rule rule = of.is_matrix ? positive_definite : positive;
    const double least = of.is_matrix ? static_cast<double>(D) - 1 : 0;
    Fields out;
    out.emplace_back("origin_", tensor({D}, finite));
    out.emplace_back("means_", tensor({K, D}, finite));
    out.emplace_back(covariances, tensor(of.shape, rule));
    out.emplace_back("mean_precision_", tensor({K}, positive, "posterior"));
    out.emplace_back("degrees_of_freedom_",
                     tensor(of.is_shared ? Shape{} : Shape{K}, above(least), "posterior"));
    out.emplace_back("posterior_.means", tensor(draws({K, D}), finite, "draws"));
    out.emplace_back("posterior_.covariances", tensor(draws(of.shape), rule, "draws"));
    return out;
}

Fields gaussian_mixture(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 1);
    const Covariances of = covariances_of(
        given.word("covariance_type", {"full", "tied", "diag", "spherical", "tied-spherical"}), K,
        D);
    Fields out = mixture(given, D);
    append(out, gaussians(of, "covariances_", K, D));
    out.emplace_back("precisions_", tensor(of.shape, of.is_matrix ? symmetric : positive));
    out.emplace_back("precisions_cholesky_",
                     tensor(of.shape, of.is_matrix ? upper_factor : positive));
    return out;
}

// One number a component and feature.
Fields per_feature(const std::string& shown, const std::string& drawn, const Rule& rule,
                   std::initializer_list<const char*> posterior, std::size_t K, std::size_t D) {
    Fields out;
    out.emplace_back(shown, tensor({K, D}, rule));
    for (const char* name : posterior)
        out.emplace_back(name, tensor({K, D}, positive, "posterior"));
    out.emplace_back("posterior_." + drawn, tensor(draws({K, D}), rule, "draws"));
    return out;
}

Fields bernoulli_mixture(const Parameters& given, std::size_t D) {
    Fields out = mixture(given, D);
    append(out, per_feature("probabilities_", "probabilities", probabilities, {"alpha_", "beta_"},
                            size_of(given, "n_components", 1), D));
    return out;
}

Fields poisson_mixture(const Parameters& given, std::size_t D) {
    Fields out = mixture(given, D);
    append(out, per_feature("rates_", "rates", not_negative, {"shape_", "rate_"},
                            size_of(given, "n_components", 1), D));
    return out;
}

// One array a column. `part`: what its number is written behind a name with.
Fields categorical(const std::string& shown, const std::string& posterior, std::size_t K,
                   std::size_t D, bool numbered) {
    Fields out;
    out.emplace_back("n_categories_", tensor({D}, numbers_of_codes));
    for (std::size_t d = 0; d < D; ++d) {
        const std::string number = std::to_string(d);
        const std::string part = numbered ? "." + number : "";
        const std::string codes = "codes of column " + number;
        out.emplace_back(shown + part, tensor({K, codes}, stochastic));
        out.emplace_back(posterior + part, tensor({K, codes}, positive, "posterior"));
        out.emplace_back("posterior_.probabilities." + number,
                         tensor(draws({K, codes}), stochastic, "draws"));
    }
    return out;
}

Fields categorical_mixture(const Parameters& given, std::size_t D) {
    Fields out = mixture(given, D);
    append(out, categorical("probabilities_", "concentrations_", size_of(given, "n_components", 1),
                            D, true));
    return out;
}

// The arrays of columns have as many codes as n_categories_ says.
void codes_agree(const Container& file, const std::string& shown, bool numbered) {
    const std::vector<double> sizes = numbers_of(file, "n_categories_");
    for (std::size_t d = 0; d < sizes.size(); ++d) {
        const std::string name = numbered ? shown + "." + std::to_string(d) : shown;
        if (static_cast<double>(file.tensors.at(name).shape[1]) != sizes[d])
            refuse(name, ": another number of codes than n_categories_ says");
    }
}

// ---- chains --------------------------------------------------------------------------------

Fields hidden_markov(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 1);
    Fields out = common(D);
    out.emplace_back("startprob_", tensor({K}, stochastic));
    out.emplace_back("transmat_", tensor({K, K}, stochastic));
    out.emplace_back("startprob_concentration_", tensor({K}, not_negative, "posterior"));
    out.emplace_back("transmat_concentration_", tensor({K, K}, not_negative, "posterior"));
    out.emplace_back("posterior_.startprob", tensor(draws({K}), stochastic, "draws"));
    out.emplace_back("posterior_.transmat", tensor(draws({K, K}), stochastic, "draws"));
    out.emplace_back("posterior_.log_joint", tensor(draws(Shape{}), finite, "draws"));
    out.emplace_back("posterior_.log_likelihood", tensor(draws(Shape{}), finite, "draws"));
    return out;
}

Fields gaussian_hmm(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 1);
    const Covariances of = covariances_of(
        given.word("covariance_type", {"diag", "full", "tied", "spherical", "tied-spherical"}), K,
        D);
    Fields out = hidden_markov(given, D);
    append(out, gaussians(of, "covars_", K, D));
    return out;
}

Fields gmm_hmm(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 1);
    const std::size_t M = size_of(given, "n_mix", 1);
    const std::string type = given.word("covariance_type", {"diag", "full", "spherical"});
    const Shape shape = type == "full"   ? Shape{K, M, D, D}
                        : type == "diag" ? Shape{K, M, D}
                                         : Shape{K, M};
    Fields out = hidden_markov(given, D);
    out.emplace_back("origin_", tensor({D}, finite));
    out.emplace_back("weights_", tensor({K, M}, stochastic));
    out.emplace_back("means_", tensor({K, M, D}, finite));
    out.emplace_back("covars_", tensor(shape, type == "full" ? positive_definite : positive));
    return out;
}

Fields bernoulli_hmm(const Parameters& given, std::size_t D) {
    Fields out = hidden_markov(given, D);
    append(out, per_feature("probabilities_", "probabilities", probabilities, {"alpha_", "beta_"},
                            size_of(given, "n_components", 1), D));
    return out;
}

Fields poisson_hmm(const Parameters& given, std::size_t D) {
    Fields out = hidden_markov(given, D);
    append(out, per_feature("lambdas_", "rates", not_negative, {"lambdas_shape_", "lambdas_rate_"},
                            size_of(given, "n_components", 1), D));
    return out;
}

Fields categorical_hmm(const Parameters& given, std::size_t D) {
    Fields out = hidden_markov(given, D);
    append(out, categorical("emissionprob_", "emissionprob_concentration_",
                            size_of(given, "n_components", 1), D, D > 1));
    return out;
}

// ---- topics, autoencoders ------------------------------------------------------------------

Fields latent_dirichlet(const Parameters& given, std::size_t V) {
    const std::size_t K = size_of(given, "n_components", 10);
    Fields out = common(V);
    out.emplace_back("components_", tensor({K, V}, not_negative));
    out.emplace_back("topic_word_", tensor({K, V}, stochastic));
    out.emplace_back("is_posterior_", plain(Kind::boolean));
    out.emplace_back("doc_topic_prior_", tensor({K}, positive));
    const Tensor* prior = given.array("topic_word_prior");
    const std::size_t dimensions = prior == nullptr ? 0 : prior->shape.size();
    out.emplace_back("topic_word_prior_",
                     dimensions == 0 ? real(positive)
                                     : tensor(dimensions == 1 ? Shape{V} : Shape{K, V}, positive));
    out.emplace_back("bound_", real(positive, "perplexity"));
    out.emplace_back("posterior_.topics", tensor(draws({K, V}), stochastic, "draws"));
    out.emplace_back("posterior_.doc_topic_prior", tensor(draws({K}), positive, "draws"));
    out.emplace_back("posterior_.log_joint", tensor(draws(Shape{}), finite, "draws"));
    return out;
}

Fields autoencoder(const Parameters& given, std::size_t D) {
    const std::size_t K = size_of(given, "n_components", 2);
    std::vector<std::size_t> encoder{D};
    for (const std::size_t width : hidden_widths(given))
        encoder.push_back(width);
    std::vector<std::size_t> decoder{K};
    decoder.insert(decoder.end(), encoder.rbegin(), encoder.rend());
    encoder.push_back(2 * K);
    Fields out = common(D);
    const auto layers = [&](const std::string& part, const std::vector<std::size_t>& widths) {
        for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
            const std::string number = std::to_string(i);
            out.emplace_back(std::string(part).append("_coefs_.").append(number),
                             tensor({widths[i], widths[i + 1]}, finite));
            out.emplace_back(std::string(part).append("_intercepts_.").append(number),
                             tensor({widths[i + 1]}, finite));
        }
    };
    layers("encoder", encoder);
    layers("decoder", decoder);
    if (given.word("likelihood", {"bernoulli", "gaussian", "poisson"}) == "gaussian") {
        const bool diag = given.word("noise", {"spherical", "diag"}) == "diag";
        out.emplace_back("noise_variance_", tensor({diag ? D : 1}, positive));
    }
    out.emplace_back("loss_curve_", tensor({"passes*"}, finite));
    out.emplace_back("validation_scores_", tensor({"scores"}, finite, "early stopping"));
    return out;
}

}  // namespace

std::vector<std::size_t> hidden_widths(const Parameters& given) {
    std::vector<std::size_t> out;
    const auto add = [&](double width) {
        if (!(width >= 1) || width > 1e9 || width != std::floor(width))
            refuse("parameters: hidden_layer_sizes must be whole numbers, one a layer");
        out.push_back(static_cast<std::size_t>(width));
    };
    if (const Tensor* sizes = given.array("hidden_layer_sizes")) {
        if (sizes->shape.size() > 1)
            refuse("parameters: hidden_layer_sizes has two dimensions");
        for (const double width : sizes->values())
            add(width);
    } else {
        add(given.real("hidden_layer_sizes", 400));
    }
    return out;
}

const Schema* schema_of(std::string_view name) {
    static const std::vector<Schema> kSchemas{
        {"BernoulliHMM", bernoulli_hmm, {}},
        {"BernoulliMixture", bernoulli_mixture, {}},
        {"CategoricalHMM", categorical_hmm,
         [](const Container& file) {
             codes_agree(file, "emissionprob_", n_features_of(file) > 1);
         }},
        {"CategoricalMixture", categorical_mixture,
         [](const Container& file) { codes_agree(file, "probabilities_", true); }},
        {"GMMHMM", gmm_hmm, {}},
        {"GaussianHMM", gaussian_hmm, {}},
        {"GaussianMixture", gaussian_mixture, {}},
        {"LatentDirichletAllocation", latent_dirichlet, {}},
        {"PoissonHMM", poisson_hmm, {}},
        {"PoissonMixture", poisson_mixture, {}},
        {"VariationalAutoencoder", autoencoder, {}},
    };
    const auto found = std::find_if(kSchemas.begin(), kSchemas.end(),
                                    [&](const Schema& schema) { return schema.name == name; });
    return found == kSchemas.end() ? nullptr : &*found;
}

}  // namespace vemfast::io
