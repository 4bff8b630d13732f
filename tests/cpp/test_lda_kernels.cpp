// The passes of latent Dirichlet allocation against plain loops: both precisions, numbers of topics
// around the vectors of any level, documents that are empty, tiny, and too large to be gathered.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "models/lda.hpp"
#include "vemfast/random.hpp"
#include "vemfast/special.hpp"

namespace {

using namespace vemfast::detail;
using vemfast::models::Kind;
using vemfast::models::LatentDirichlet;
using vemfast::models::LdaPass;
using vemfast::models::LdaTable;
using vemfast::models::Learn;
using vemfast::special::digamma;

class Numbers {
  public:
    explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
    double operator()() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<double>(state_ >> 11) * 0x1p-53;
    }

  private:
    std::uint64_t state_;
};

struct Problem {
    std::size_t D, V, K;
    std::vector<std::int64_t> indptr{0};
    std::vector<std::int32_t> words;
    std::vector<double> counts;
    std::vector<double> weights;
    std::vector<double> params;  // a posterior

    Documents view() const {
        Documents documents;
        documents.n_documents = D;
        documents.indptr = indptr.data();
        documents.indices = words.data();
        documents.counts = counts.data();
        documents.weights = weights.data();
        documents.offset = 5;
        return documents;
    }
    double alpha(std::size_t k) const { return params[V * K + k]; }
    LdaTable table(bool is_float) const {
        const LatentDirichlet model(K, V, is_float, std::vector<double>(K, 0.1), {0.1}, Learn::no,
                                    false);
        return model.prepare(Kind::posterior, params.data(), 2, {});
    }
};

// Document 2 is empty; the others have up to `longest` distinct words.
Problem problem(std::size_t D, std::size_t V, std::size_t K, std::size_t longest,
                double alpha = 0.2) {
    Problem out{D, V, K, {0}, {}, {}, {}, {}};
    Numbers u(D + 31 * V + 977 * K);
    for (std::size_t d = 0; d < D; ++d) {
        const double share =
            d == 2 ? 0.0 : u() * static_cast<double>(longest) / static_cast<double>(V);
        for (std::size_t w = 0; w < V; ++w) {
            if (u() < share) {
                out.words.push_back(static_cast<std::int32_t>(w));
                out.counts.push_back(1.0 + std::floor(3.0 * u()));
            }
        }
        out.indptr.push_back(static_cast<std::int64_t>(out.words.size()));
        out.weights.push_back(d % 7 == 3 ? 0.0 : 0.5 + u());
    }
    for (std::size_t i = 0; i < V * K; ++i)
        out.params.push_back(0.05 + 4.0 * u() * u());
    for (std::size_t k = 0; k < K; ++k)
        out.params.push_back(alpha * (0.5 + u()));
    out.params.push_back(1.0);
    return out;
}

std::vector<double> log_topics(const Problem& p) {
    std::vector<double> out(p.V * p.K);
    for (std::size_t k = 0; k < p.K; ++k) {
        double sum = 0;
        for (std::size_t w = 0; w < p.V; ++w)
            sum += p.params[w * p.K + k];
        for (std::size_t w = 0; w < p.V; ++w)
            out[w * p.K + k] = digamma(p.params[w * p.K + k]) - digamma(sum);
    }
    return out;
}

// The statistics by the definition, gamma by `iterations` of the fixed point from ones, in
// logarithms throughout.
struct Expected {
    std::vector<double> sstats, gamma;
    double bound = 0;
};

Expected by_definition(const Problem& p, int iterations) {
    const std::size_t K = p.K;
    Expected out{std::vector<double>(p.V * K, 0.0), std::vector<double>(p.D * K, 1.0), 0};
    const std::vector<double> log_beta = log_topics(p);
    std::vector<double> phi(K);
    for (std::size_t d = 0; d < p.D; ++d) {
        double* gamma = &out.gamma[d * K];
        double log_norms = 0;
        double tokens = 0;
        for (int step = 0; step <= iterations; ++step) {  // the last one for phi alone
            std::vector<double> next(K);
            for (std::size_t k = 0; k < K; ++k)
                next[k] = p.alpha(k);
            log_norms = tokens = 0;
            for (std::int64_t i = p.indptr[d]; i < p.indptr[d + 1]; ++i) {
                const auto at = static_cast<std::size_t>(i);
                const auto w = static_cast<std::size_t>(p.words[at]);
                double top = -1e300;
                for (std::size_t k = 0; k < K; ++k)
                    top = std::max(top, phi[k] = digamma(gamma[k]) + log_beta[w * K + k]);
                double norm = 0;
                for (std::size_t k = 0; k < K; ++k)
                    norm += phi[k] = std::exp(phi[k] - top);
                for (std::size_t k = 0; k < K; ++k) {
                    next[k] += p.counts[at] * phi[k] / norm;
                    if (step == iterations)
                        out.sstats[w * K + k] += p.weights[d] * p.counts[at] * phi[k] / norm;
                }
                log_norms += p.counts[at] * (top + std::log(norm));
                tokens += p.counts[at];
            }
            if (step < iterations || tokens == 0)
                std::copy(next.begin(), next.end(), gamma);
        }
        double sum = 0;
        double alpha_sum = 0;
        double bound = 0;
        for (std::size_t k = 0; k < K; ++k) {
            sum += gamma[k];
            alpha_sum += p.alpha(k);
        }
        for (std::size_t k = 0; k < K; ++k)
            bound += (p.alpha(k) - gamma[k]) * (digamma(gamma[k]) - digamma(sum)) +
                     std::lgamma(gamma[k]) - std::lgamma(p.alpha(k));
        bound += std::lgamma(alpha_sum) - std::lgamma(sum) + log_norms - tokens * digamma(sum);
        out.bound += p.weights[d] * (tokens > 0 ? bound : 0.0);
    }
    return out;
}

bool near(double a, double b, double tolerance) {
    return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

template <class T>
void check_factorised(const Problem& p, int iterations, double tolerance) {
    const Expected expected = by_definition(p, iterations);
    const LdaTable table = p.table(sizeof(T) == 4);
    std::vector<double> first;
    for (const int threads : {1, 3}) {
        LdaPass pass;
        pass.max_inner = iterations;
        pass.inner_tol = 0;
        pass.n_threads = threads;
        std::vector<T> gamma(p.D * p.K);
        std::vector<double> stats(table.stats_size());
        vemfast::models::e_step(table, p.view(), pass, nullptr, {nullptr, gamma.data()}, {},
                                stats.data());
        CHECK(near(stats[0], expected.bound, tolerance));
        for (std::size_t i = 0; i < p.V * p.K; ++i)
            CHECK(near(stats[2 + i], expected.sstats[i], tolerance));
        for (std::size_t i = 0; i < p.D * p.K; ++i)
            CHECK(near(static_cast<double>(gamma[i]), expected.gamma[i], 10 * tolerance));
        if (first.empty())
            first = stats;
        CHECK(first == stats);  // the same bits for any number of threads
        std::vector<double> bounds(p.D);
        std::vector<T> again(p.D * p.K);
        vemfast::models::infer(table, p.view(), pass, {nullptr, again.data()}, {}, bounds.data());
        CHECK(again == gamma);
        double bound = 0;
        for (std::size_t d = 0; d < p.D; ++d)
            bound += p.weights[d] * bounds[d];
        CHECK(near(bound, stats[0], 1e-12));
    }
}

TEST_CASE(factorised_is_its_definition) {
    for (const std::size_t K : {1, 2, 7, 8, 16, 33, 100}) {
        check_factorised<double>(problem(23, 40, K, 30), 4, 1e-11);
        check_factorised<float>(problem(23, 40, K, 30), 4, 2e-4);
    }
}

TEST_CASE(topics_that_vanish_are_left_out_of_the_iteration) {
    for (const std::size_t K : {9, 40, 100}) {
        check_factorised<double>(problem(23, 40, K, 30, 0.02), 70, 1e-9);
        check_factorised<double>(problem(23, 40, K, 30, 0.1), 25, 1e-9);
        check_factorised<float>(problem(23, 40, K, 30, 0.1), 25, 2e-3);
    }
}

TEST_CASE(many_chunks_and_groups_of_documents) {
    check_factorised<double>(problem(6000, 12, 200, 6), 2, 1e-11);
}

TEST_CASE(rows_too_large_to_be_gathered) {
    check_factorised<double>(problem(3, 3000, 64, 3000), 2, 1e-11);
    check_factorised<float>(problem(3, 6000, 64, 6000), 2, 2e-4);
}

TEST_CASE(shares_that_underflow) {
    // One token among many topics and a tiny alpha: after one step exp(psi(gamma)) is zero in float
    // for every topic, and in double as well.
    const Problem p = problem(12, 9, 900, 2, 1e-7);
    check_factorised<double>(p, 3, 1e-9);
    check_factorised<float>(p, 1, 1e-3);
}

TEST_CASE(a_word_that_no_topic_has) {
    Problem p = problem(4, 6, 5, 6);
    const LatentDirichlet model(5, 6, false, std::vector<double>(5, 0.1), {1.0}, Learn::no, false);
    for (std::size_t k = 0; k < 5; ++k)
        p.params[static_cast<std::size_t>(p.words[0]) * 5 + k] = 0;
    const LdaTable table = model.prepare(Kind::point, p.params.data(), 1, {});
    std::vector<double> gamma(4 * 5), bounds(4);
    vemfast::models::infer(table, p.view(), {}, {nullptr, gamma.data()}, {}, bounds.data());
    CHECK(bounds[0] == -HUGE_VAL);
    CHECK(bounds[2] == 0);
    for (const double value : gamma)
        CHECK(value > 0 && std::isfinite(value));
}

// One sweep token by token, in plain doubles.
std::vector<std::int32_t> sweep(const Problem& p, const std::vector<std::int32_t>& before,
                                bool hard) {
    const std::size_t K = p.K;
    const std::vector<double> log_beta = log_topics(p);
    std::vector<std::int32_t> z = before;
    std::size_t token = 0;
    for (std::size_t d = 0; d < p.D; ++d) {
        vemfast::random::Stream stream(3, 8, vemfast::random::kRowStream, d + 5);
        std::vector<double> number(K, 0.0), score(K);
        std::size_t tokens = 0;
        for (std::int64_t i = p.indptr[d]; i < p.indptr[d + 1]; ++i)
            tokens += static_cast<std::size_t>(p.counts[static_cast<std::size_t>(i)]);
        for (std::size_t i = 0; i < tokens; ++i)
            number[static_cast<std::size_t>(before[token + i])] += 1;
        for (std::int64_t i = p.indptr[d]; i < p.indptr[d + 1]; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const auto w = static_cast<std::size_t>(p.words[at]);
            for (double left = p.counts[at]; left > 0; --left, ++token) {
                number[static_cast<std::size_t>(z[token])] -= 1;
                double total = 0;
                for (std::size_t k = 0; k < K; ++k)
                    total += score[k] = (number[k] + p.alpha(k)) * std::exp(log_beta[w * K + k]);
                std::size_t topic = 0;
                if (hard) {
                    topic = static_cast<std::size_t>(std::max_element(score.begin(), score.end()) -
                                                     score.begin());
                } else {
                    const double u = stream.uniform() * total;
                    double sum = score[0];
                    while (sum <= u && topic + 1 < K)
                        sum += score[++topic];
                }
                z[token] = static_cast<std::int32_t>(topic);
                number[topic] += 1;
            }
        }
    }
    return z;
}

void check_tokens(const Problem& whole, bool hard) {
    Problem p = whole;
    std::fill(p.weights.begin(), p.weights.end(), 1.0);
    const LdaTable table = p.table(false);
    const Documents documents = p.view();
    const auto first_token = vemfast::models::count_tokens(documents);
    const auto n_tokens = static_cast<std::size_t>(first_token.back());
    Numbers u(9);
    std::vector<std::int32_t> before(n_tokens), after(n_tokens);
    for (auto& topic : before)
        topic = static_cast<std::int32_t>(u() * static_cast<double>(p.K));
    const auto expected = sweep(p, before, hard);
    for (const int threads : {1, 3}) {
        LdaPass pass;
        pass.rule = hard ? DocumentRule::hard : DocumentRule::sampled;
        pass.max_inner = 1;
        pass.seed = 3;
        pass.iteration = 8;
        pass.n_threads = threads;
        std::vector<double> stats(table.stats_size());
        vemfast::models::e_step(table, documents, pass, first_token.data(),
                                {before.data(), after.data()}, {}, stats.data());
        CHECK(after == expected);
        std::vector<double> sstats(p.V * p.K, 0.0);
        std::size_t token = 0;
        for (std::size_t i = 0; i < p.words.size(); ++i) {
            for (double left = p.counts[i]; left > 0; --left)
                sstats[static_cast<std::size_t>(p.words[i]) * p.K +
                       static_cast<std::size_t>(expected[token++])] += 1;
        }
        CHECK(std::equal(sstats.begin(), sstats.end(), stats.begin() + 2));
    }
}

TEST_CASE(tokens_are_swept_one_by_one) {
    for (const std::size_t K : {1, 2, 7, 8, 16, 33, 100, 300}) {
        check_tokens(problem(23, 40, K, 30), true);
        check_tokens(problem(23, 40, K, 30), false);
    }
}

TEST_CASE(fractions_of_tokens_are_refused) {
    Problem p = problem(4, 6, 2, 6);
    p.counts[1] = 1.5;
    CHECK_THROWS(vemfast::models::count_tokens(p.view()), std::invalid_argument);
}

}  // namespace
