#include "models/lda_fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vemfast/random.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

using detail::DocumentRule;
using detail::Documents;

namespace {

// As in vemfast/models/lda_starts.py, which says why.
constexpr double kCommon = 0.1;
constexpr double kJitter = 0.05;
constexpr double kSeen = 2.0;

// Tokens of each document, and of all.
struct Tokens {
    explicit Tokens(const Documents& documents) {
        for (std::size_t d = 0; d < documents.n_documents; ++d) {
            double sum = 0;
            for (std::int64_t i = documents.indptr[d]; i < documents.indptr[d + 1]; ++i)
                sum += count_at(documents, i);
            of.push_back(sum);
            total += sum;
            if (sum > 0)
                usable.push_back(d);
        }
        require(total > 0, "there are no tokens: all documents are empty");
    }
    std::vector<double> of;
    std::vector<std::size_t> usable;  // documents that are not empty
    double total = 0;
};

class LdaFit {
  public:
    LdaFit(const LatentDirichlet& model, const Documents& documents, const LdaFitOptions& options,
           int n_threads, const Poll& poll)
        : model_(model),
          documents_(documents),
          options_(options),
          n_threads_(n_threads),
          poll_(poll),
          tokens_(documents) {
        if (options.rule != DocumentRule::factorised)
            first_token_ = count_tokens(documents);
    }

    FitState run(std::uint64_t random_state) {
        FitState state;
        return fit_from_starts(*this, options_.control(tokens_.total, model_.is_float()),
                               options_.n_init, random_state, state,
                               [&](std::uint64_t seed) { init(seed, state); });
    }

    // ---- what the loop asks ----------------------------------------------------------------

    double evaluate(Kind kind, const std::vector<double>& params, std::vector<double>& stats) {
        stats.resize(model_.stats_size());
        const LdaTable table = model_.prepare(kind, params.data(), n_threads_, poll_);
        const LdaPass pass{options_.rule, options_.max_inner, options_.inner_tol, 0, 0, n_threads_};
        if (options_.rule != DocumentRule::factorised)
            through(labels_, next_labels_, static_cast<std::size_t>(first_token_.back()), table,
                    pass, stats);
        else if (model_.is_float())
            through(floats_, next_floats_, documents_.n_documents * model_.n_components(), table,
                    pass, stats);
        else
            through(doubles_, next_doubles_, documents_.n_documents * model_.n_components(), table,
                    pass, stats);
        return stats[0] + model_.global_term(kind, params.data(), n_threads_, poll_);
    }

    // What the prior of the proportions adds and the entropy takes out again: a tiny alpha makes it
    // vast. It is summed in double, so of what single precision would round it is a millionth.
    double size_of_terms(const FitState& state) const {
        const std::size_t K = model_.n_components();
        const std::size_t topics = model_.n_words() * K;
        double size = 0;
        for (std::size_t k = 0; k < K; ++k)
            size += std::abs((state.params[topics + k] - 1.0) * state.stats[2 + topics + k]);
        return model_.is_float() ? 1e-6 * size : size;
    }

    void accept() {
        labels_.swap(next_labels_);
        floats_.swap(next_floats_);
        doubles_.swap(next_doubles_);
    }

    void update(const FitState& state, std::vector<double>& next) const {
        model_.update(options_.parameter_rule, state.kind, state.params.data(), state.stats.data(),
                      0, 0, n_threads_, poll_, next.data());
    }

    static bool propose(const FitState& /*state*/, const std::vector<double>& /*next*/,
                        std::vector<double>& /*proposal*/) {
        return false;
    }

  private:
    template <class T>
    void through(const std::vector<T>& before, std::vector<T>& after, std::size_t size,
                 const LdaTable& table, const LdaPass& pass, std::vector<double>& stats) const {
        after.resize(size);
        e_step(table, documents_, pass, first_token_.data(),
               {before.empty() ? nullptr : before.data(), after.data()}, poll_, stats.data());
    }

    // ---- the start -------------------------------------------------------------------------

    void init(std::uint64_t seed, FitState& state) {
        labels_.clear();
        floats_.clear();
        doubles_.clear();
        const bool posterior = options_.parameter_rule == ParameterRule::posterior;
        const std::size_t K = model_.n_components();
        state.kind = posterior ? Kind::posterior : Kind::point;
        state.params.assign(model_.params_size(), 0.0);
        const std::vector<double> topics =
            options_.topics.empty() ? topics_of_documents(seed) : options_.topics;
        std::copy(topics.begin(), topics.end(), state.params.begin());
        double* hyper = state.params.data() + topics.size();
        std::copy_n(model_.first_alpha().data(), K, hyper);
        hyper[K] = model_.learns_eta() ? 1.0 / static_cast<double>(K) : 1.0;
        if (!posterior)
            return;
        // A given topic is as if it had had an equal share of the tokens; one that begins as a
        // document, as a flat prior that has seen some.
        double* lambda = state.params.data();
        if (!options_.topics.empty()) {
            const double share = tokens_.total / static_cast<double>(K);
            model_.topics().posterior(hyper[K], scaled(topics, share).data(), n_threads_, poll_,
                                      lambda);
            return;
        }
        const double seen = kSeen * (tokens_.total / static_cast<double>(tokens_.usable.size()));
        for (std::size_t i = 0; i < topics.size(); ++i)
            lambda[i] = 1.0 + seen * topics[i];
    }

    static std::vector<double> scaled(std::vector<double> values, double factor) {
        for (double& value : values)
            value *= factor;
        return values;
    }

    std::vector<double> topics_of_documents(std::uint64_t seed) const {
        const std::size_t K = model_.n_components();
        const std::size_t V = model_.n_words();
        random::Stream stream(seed, 0, random::kStartStream, 0);
        const std::vector<std::size_t> chosen = options_.start == LdaStart::spread
                                                    ? spread(stream)
                                                    : shuffled(stream, tokens_.usable, K);
        std::vector<double> common(V, 1.0 / (tokens_.total + static_cast<double>(V)));
        const double unit = common[0];
        for (std::int64_t i = 0; i < documents_.indptr[documents_.n_documents]; ++i)
            common[static_cast<std::size_t>(documents_.indices[i])] +=
                unit * count_at(documents_, i);
        std::vector<double> out(V * K);
        for (std::size_t k = 0; k < K; ++k) {
            // More topics than documents: further topics begin as all words together.
            std::vector<double> own = common;
            if (k < chosen.size()) {
                const std::size_t d = chosen[k];
                for (double& p : own)
                    p *= kCommon;
                for (std::int64_t i = documents_.indptr[d]; i < documents_.indptr[d + 1]; ++i)
                    own[static_cast<std::size_t>(documents_.indices[i])] +=
                        (1.0 - kCommon) * count_at(documents_, i) / tokens_.of[d];
            }
            double sum = 0;
            for (double& p : own)  // so that equal documents differ
                sum += p *= 1.0 + kJitter * (2.0 * stream.uniform() - 1.0);
            for (std::size_t w = 0; w < V; ++w)
                out[w * K + k] = own[w] / sum;
        }
        return out;
    }

    // The first of them in random order, at most `most`.
    static std::vector<std::size_t> shuffled(random::Stream& stream, std::vector<std::size_t> all,
                                             std::size_t most) {
        for (std::size_t i = 0; i < std::min(most, all.size()); ++i) {
            const auto left = static_cast<double>(all.size() - i);
            const auto step = static_cast<std::size_t>(stream.uniform() * left);
            std::swap(all[i], all[std::min(i + step, all.size() - 1)]);
        }
        all.resize(std::min(most, all.size()));
        return all;
    }

    // Documents in turn, each with probability proportional to its squared Hellinger distance from
    // the nearest one chosen (k-means++).
    std::vector<std::size_t> spread(random::Stream& stream) const {
        const std::size_t K = model_.n_components();
        std::vector<double> nearest(tokens_.usable.size(), std::numeric_limits<double>::infinity());
        std::vector<double> last(model_.n_words(), 0.0);  // roots of the latest one's frequencies
        std::vector<std::size_t> chosen = shuffled(stream, tokens_.usable, 1);
        while (chosen.size() < std::min(K, tokens_.usable.size())) {
            std::fill(last.begin(), last.end(), 0.0);
            for_each_root(chosen.back(), [&](std::size_t word, double root) { last[word] = root; });
            double total = 0;
            for (std::size_t j = 0; j < nearest.size(); ++j) {
                double likeness = 0;
                for_each_root(tokens_.usable[j], [&](std::size_t word, double root) {
                    likeness += root * last[word];
                });
                nearest[j] = std::min(nearest[j], std::max(1.0 - likeness, 0.0));
                if (tokens_.usable[j] == chosen.back())
                    nearest[j] = 0;
                total += nearest[j];
            }
            if (!(total > 0)) {  // what is left is the same as what is chosen
                std::vector<std::size_t> rest;
                for (const std::size_t d : tokens_.usable) {
                    if (std::find(chosen.begin(), chosen.end(), d) == chosen.end())
                        rest.push_back(d);
                }
                const auto more = shuffled(stream, std::move(rest), K - chosen.size());
                chosen.insert(chosen.end(), more.begin(), more.end());
                break;
            }
            double mark = stream.uniform() * total;
            std::size_t next = 0;
            for (std::size_t j = 0; j < nearest.size() && mark >= 0; ++j) {
                next = nearest[j] > 0 ? j : next;
                mark -= nearest[j];
            }
            chosen.push_back(tokens_.usable[next]);
        }
        return chosen;
    }

    template <class Take>
    void for_each_root(std::size_t document, Take&& take) const {
        for (std::int64_t i = documents_.indptr[document]; i < documents_.indptr[document + 1]; ++i)
            take(static_cast<std::size_t>(documents_.indices[i]),
                 std::sqrt(count_at(documents_, i) / tokens_.of[document]));
    }

    const LatentDirichlet& model_;
    const Documents& documents_;
    const LdaFitOptions& options_;
    int n_threads_;
    const Poll& poll_;
    Tokens tokens_;
    std::vector<std::int64_t> first_token_;
    std::vector<std::int32_t> labels_, next_labels_;
    std::vector<float> floats_, next_floats_;
    std::vector<double> doubles_, next_doubles_;
};

}  // namespace

FitState fit_lda(const LatentDirichlet& model, const Documents& documents,
                 const LdaFitOptions& options, std::uint64_t random_state, int n_threads,
                 const Poll& poll) {
    LdaFit fit(model, documents, options, n_threads, poll);
    return fit.run(random_state);
}

}  // namespace vemfast::models
