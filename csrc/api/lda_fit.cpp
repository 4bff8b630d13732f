// Fits of topics by the parameters of the Python class.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "api/documents.hpp"
#include "api/many.hpp"
#include "math/pairwise_sum.hpp"
#include "models/lda_fit.hpp"
#include "vemfast/lda.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using api::Chosen;
using models::Kind;
using models::ParameterRule;

constexpr double kPointEta = 1.01;     // on point rungs 1 gives unseen words no probability at all
constexpr double kLeastShare = 1e-10;  // of the largest word of a given topic

// Priors as the model takes them.
struct Priors {
    std::vector<double> alpha;  // K
    models::Learn learn_alpha = models::Learn::no;
    std::vector<double> eta;  // one number, V, or V x K
    bool learn_eta = false;
};

void check_positive(const char* name, const std::vector<double>& values) {
    for (const double value : values)
        require(value > 0, name, " must be > 0; got ", value);
}

Priors priors_of(Chosen& chosen, std::size_t K, std::size_t V, bool is_point) {
    const auto k = static_cast<std::int64_t>(K);
    const auto v = static_cast<std::int64_t>(V);
    const double usual = 1.0 / static_cast<double>(K);
    Priors out;
    if (chosen.is_word("doc_topic_prior"))
        out.learn_alpha = chosen.word("doc_topic_prior", {"learn", "learn-symmetric"}) == 0
                              ? models::Learn::vector
                              : models::Learn::symmetric;
    else
        out.alpha = chosen.spread("doc_topic_prior", 1, k);
    if (out.alpha.empty())
        out.alpha.assign(K, usual);
    check_positive("doc_topic_prior", out.alpha);
    if (chosen.is_word("topic_word_prior")) {
        chosen.word("topic_word_prior", {"learn"});
        require(!is_point,
                "with point topics the prior's density grows without bound as the learned "
                "concentration does; use inference='mean-field', or a fixed topic_word_prior");
        out.learn_eta = true;
        out.eta.assign(1, 1.0);
        return out;
    }
    if (const Array* given = chosen.find_array("topic_word_prior")) {
        const bool is_row = given->shape == std::vector<std::int64_t>{v};
        out.eta = is_row ? given->values : chosen.array("topic_word_prior", {k, v});
        if (!is_row)
            out.eta = api::transposed(out.eta.data(), K, V);
    } else {
        out.eta.assign(1, chosen.real("topic_word_prior", is_point ? kPointEta : usual));
    }
    check_positive("topic_word_prior", out.eta);
    const double least = *std::min_element(out.eta.begin(), out.eta.end());
    require(!is_point || least >= 1, "a Dirichlet concentration of ", least,
            " < 1 has no mode; use inference='mean-field', or concentrations >= 1");
    return out;
}

// Given topics (K x V), each divided by its sum, by word.
std::vector<double> given_topics(std::vector<double> topics, std::size_t K, std::size_t V) {
    for (std::size_t k = 0; k < (topics.empty() ? 0 : K); ++k) {
        const std::span<double> row(topics.data() + k * V, V);
        for (const double value : row)
            require(value >= 0, "topics_init must be >= 0; topic ", k, " has ", value);
        const double largest = *std::max_element(row.begin(), row.end());
        require(largest > 0, "topics_init has no word in topic ", k);
        for (double& value : row)
            value = std::max(value / largest, kLeastShare);
        const double sum = detail::pairwise_sum(row);
        for (double& value : row)
            value /= sum;
    }
    return api::transposed(topics.data(), topics.empty() ? 0 : K, V);
}

void check_whole(const WordCounts& documents) {
    for (std::size_t d = 0; d < documents.n_documents(); ++d) {
        for (std::int64_t i = documents.starts[d]; i < documents.starts[d + 1]; ++i) {
            const auto entry = static_cast<std::size_t>(i);
            const double count = documents.counts[entry];
            require(count == std::floor(count), "document ", d, ", word ", documents.words[entry],
                    " has a count of ", count,
                    ", but inference='hard-em' gives each token a topic, so counts must be whole "
                    "numbers; use 'mean-field' or 'variational-em'");
        }
    }
}

Attributes attributes_of(const Chosen& chosen, const models::FitState& state, const Priors& priors,
                         std::size_t K, std::size_t V) {
    Attributes out = chosen.attributes(V);
    const auto k = static_cast<std::int64_t>(K);
    const auto v = static_cast<std::int64_t>(V);
    const bool is_posterior = state.kind == Kind::posterior;
    const std::vector<double> components = api::transposed(state.params.data(), V, K);
    std::vector<double> topics = components;
    for (std::size_t row = 0; row < (is_posterior ? K : 0); ++row) {
        const std::span<double> words(topics.data() + row * V, V);
        const double sum = detail::pairwise_sum(words);
        for (double& value : words)
            value /= sum;
    }
    const double* hyper = state.params.data() + V * K;
    const double scale = hyper[K];
    out.arrays["components_"] = {{k, v}, components};
    out.arrays["topic_word_"] = {{k, v}, std::move(topics)};
    out.values["is_posterior_"] = is_posterior;
    out.arrays["doc_topic_prior_"] = {{k}, {hyper, hyper + K}};
    std::vector<double> eta = priors.eta;
    for (double& value : eta)
        value *= scale;
    if (eta.size() == 1)
        out.values["topic_word_prior_"] = eta.front();
    else if (eta.size() == V)
        out.arrays["topic_word_prior_"] = {{v}, std::move(eta)};
    else
        out.arrays["topic_word_prior_"] = {{k, v}, api::transposed(eta.data(), V, K)};
    api::add_trace(state.lower_bounds, state.stop_reason, out);
    return out;
}

void check_words(std::size_t n_words) {
    constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max();
    require(n_words >= 1 && n_words <= kMost, "n_words must be from 1 to ", kMost, "; got ",
            n_words);
}

LatentDirichletAllocation fit_one(const WordCounts& documents, std::size_t n_words,
                                  const FitOptions& given, std::uint64_t random_state,
                                  int n_threads, const Poll& poll) {
    Chosen chosen("LatentDirichletAllocation", given);
    const auto K = static_cast<std::size_t>(chosen.integer("n_components", 10, 1));
    const std::size_t rung = chosen.word("inference", {"mean-field", "variational-em", "hard-em"});
    const bool is_point = rung != 0;
    models::LdaFitOptions options;
    options.rule = rung == 2 ? detail::DocumentRule::hard : detail::DocumentRule::factorised;
    options.parameter_rule = is_point ? ParameterRule::point : ParameterRule::posterior;
    options.max_inner = static_cast<int>(chosen.integer("max_doc_update_iter", 100, 1));
    options.inner_tol = chosen.real("mean_change_tol", 1e-3);
    options.tol = chosen.real("tol", 0.0);
    options.max_iter = static_cast<int>(chosen.integer("max_iter", 10, 1));
    options.n_init = static_cast<int>(chosen.integer("n_init", 1, 1));
    options.start = static_cast<models::LdaStart>(chosen.word("init", {"spread", "documents"}));
    options.callback = given.callback;
    require(options.tol >= 0 && options.inner_tol >= 0, "tol and mean_change_tol must be >= 0");
    const bool is_float = chosen.word("dtype", {"float32", "float64"}) == 0;
    const Priors priors = priors_of(chosen, K, n_words, is_point);
    options.topics = given_topics(chosen.array("topics_init", {static_cast<std::int64_t>(K),
                                                               static_cast<std::int64_t>(n_words)}),
                                  K, n_words);
    chosen.refuse_others();
    const api::CheckedDocuments checked(documents, n_words);
    if (options.rule == detail::DocumentRule::hard)
        check_whole(documents);
    const models::LatentDirichlet model(K, n_words, is_float, priors.alpha, priors.eta,
                                        priors.learn_alpha, priors.learn_eta);
    const models::FitState state =
        models::fit_lda(model, checked.view(), options, random_state, n_threads, poll);
    return LatentDirichletAllocation(attributes_of(chosen, state, priors, K, n_words));
}

}  // namespace

inline namespace abi1 {

LatentDirichletAllocation LatentDirichletAllocation::fit(const WordCounts& documents,
                                                         std::size_t n_words,
                                                         const FitOptions& options,
                                                         std::uint64_t random_state, int n_threads,
                                                         const Poll& poll) {
    const PollScope asked(poll);  // also between passes that are too short to ask by themselves
    check_words(n_words);
    return fit_one(documents, n_words, options, random_state, n_threads, poll);
}

ManyFits<LatentDirichletAllocation> LatentDirichletAllocation::fit_many(
    std::span<const WordCounts> corpora, std::size_t n_words, const FitOptions& options,
    std::span<const std::uint64_t> random_states, int n_threads, const Poll& poll) {
    check_words(n_words);
    constexpr double kRounds = 50;  // over a document, about
    const std::size_t K = api::n_components_of("LatentDirichletAllocation", options, 10);
    const auto work = [&](std::size_t i) {
        return kRounds * static_cast<double>(K) * static_cast<double>(corpora[i].counts.size());
    };
    return api::fit_each<LatentDirichletAllocation>(
        corpora.size(), options, random_states, n_threads, poll, work,
        [&](std::size_t i, int threads, const Poll& ask) {
            return fit_one(corpora[i], n_words, options, random_states[i], threads, ask);
        });
}

}  // namespace abi1
}  // namespace vemfast
