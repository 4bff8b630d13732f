// States of several components against the chain over all components, and the factorised rule
// against plain sweeps.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "check.hpp"
#include "models/hmm.hpp"

namespace {

using namespace vemfast::detail;
using namespace vemfast::models;

const std::vector<std::int64_t> kLengths{40, 1, 7, 300};
const std::vector<double> kWeights{1.0, 0.5, 2.0, 1.5};
const std::vector<double> kMeans{0.0, 3.0, 1.0, 5.0};
const std::vector<double> kVariances{1.0, 0.5, 2.0, 1.0};

std::vector<double> data() {
    std::vector<double> X;
    std::uint64_t state = 11;
    for (int t = 0; t < 348; ++t) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        X.push_back(6.0 * static_cast<double>(state >> 11) * 0x1p-53 - 0.5);
    }
    return X;
}

HmmRows rows_of(const std::vector<double>& X) {
    RowsView view;
    view.data = X.data();
    view.row_stride = 1;
    view.column_stride = 1;
    view.n_rows = X.size();
    view.n_features = 1;
    return {view, false};
}

Sequences sequences() {
    return {kLengths.data(), kLengths.size(), kWeights.data(), nullptr, 0};
}

// A chain of K states over the four Gaussians.
struct Chain {
    GaussianMixture emission{{WeightPrior::none, 1.0, 4},
                             Gaussian(Covariance::diag, 4, 1, {}, {1.0}, 1e-6),
                             std::vector<double>{0.0}};
    HiddenMarkov model;
    std::vector<double> params;

    Chain(std::size_t K, std::vector<double> chain)
        : model(&emission, Simplex(K, {}, {}, {}), std::vector<Simplex>(K, Simplex(K, {}, {}, {})),
                {}, std::vector<Simplex>(K == 4 ? 0 : K, Simplex(4 / K, {}, {}, {}))),
          params(std::move(chain)) {
        params.insert(params.end(), kMeans.begin(), kMeans.end());
        params.insert(params.end(), kVariances.begin(), kVariances.end());
    }
    HmmTable table() const { return model.prepare(Kind::point, params.data()); }
};

bool near(double a, double b, double tolerance) {
    return std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}

TEST_CASE(states_of_components_are_a_chain_over_all_components) {
    const std::vector<double> start{0.3, 0.7};
    const std::vector<double> moves{0.9, 0.1, 0.2, 0.8};
    const std::vector<double> mix{0.4, 0.6, 0.9, 0.1};
    std::vector<double> own = start;
    own.insert(own.end(), moves.begin(), moves.end());
    own.insert(own.end(), mix.begin(), mix.end());
    std::vector<double> all;
    for (std::size_t c = 0; c < 4; ++c)
        all.push_back(start[c / 2] * mix[c]);
    for (std::size_t b = 0; b < 4; ++b) {
        for (std::size_t c = 0; c < 4; ++c)
            all.push_back(moves[(b / 2) * 2 + c / 2] * mix[c]);
    }
    const Chain joined(2, own);
    const Chain spread(4, all);
    const std::vector<double> X = data();
    std::vector<double> one(kLengths.size());
    std::vector<double> other(kLengths.size());
    hmm_score(joined.table(), rows_of(X), sequences(), 1, {}, one.data());
    hmm_score(spread.table(), rows_of(X), sequences(), 1, {}, other.data());
    for (std::size_t s = 0; s < one.size(); ++s)
        CHECK(near(one[s], other[s], 1e-12));
    for (const LocalRule rule : {LocalRule::exact, LocalRule::hard}) {
        HmmPass pass;
        pass.rule = rule;
        std::vector<double> few(joined.model.stats_size());
        std::vector<double> many(spread.model.stats_size());
        hmm_e_step(joined.table(), rows_of(X), sequences(), pass, {}, few.data());
        hmm_e_step(spread.table(), rows_of(X), sequences(), pass, {}, many.data());
        CHECK(near(few[0], many[0], 1e-12));
        CHECK(near(few[1], many[1], 1e-9));
        for (std::size_t i = 0; i < 12; ++i)  // counts, sums and squares of the components
            CHECK(near(few[2 + 2 + 4 + i], many[2 + 4 + 16 + i], 1e-10));
        for (std::size_t k = 0; k < 2; ++k) {
            for (std::size_t j = 0; j < 2; ++j) {
                double sum = 0;
                for (std::size_t b = 0; b < 4; ++b)
                    sum += many[6 + (2 * k + b / 2) * 4 + 2 * j + b % 2];
                CHECK(near(few[4 + 2 * k + j], sum, 1e-10));
            }
        }
        // The update gives each state's components their shares.
        std::vector<double> next(joined.params.size());
        joined.model.update(ParameterRule::point, Kind::point, joined.params.data(), few.data(), 0,
                            0, next.data());
        CHECK(near(next[6] + next[7], 1.0, 1e-14));
        CHECK(near(next[6], few[8] / (few[8] + few[9]), 1e-14));
    }
}

const std::vector<double> kChain{0.4, 0.3, 0.2, 0.1, 0.7, 0.1, 0.1, 0.1, 0.2, 0.6,
                                 0.1, 0.1, 0.1, 0.2, 0.6, 0.1, 0.3, 0.1, 0.1, 0.5};

// q of one sequence after the cold start and `n_sweeps` sweeps.
std::vector<double> plain_sweeps(const std::vector<double>& X, std::size_t first, std::size_t T,
                                 int n_sweeps) {
    constexpr std::size_t K = 4;
    std::vector<double> q(T * K);
    for (int sweep = -1; sweep < n_sweeps; ++sweep) {
        for (std::size_t t = 0; t < T; ++t) {
            double total = 0;
            for (std::size_t k = 0; k < K; ++k) {
                const double d = X[first + t] - kMeans[k];
                double sum = -0.5 * std::log(kVariances[k]) - 0.5 * d * d / kVariances[k];
                if (t == 0)
                    sum += std::log(kChain[k]);
                for (std::size_t i = 0; i < K; ++i) {
                    if (t > 0)
                        sum += q[(t - 1) * K + i] * std::log(kChain[K + i * K + k]);
                    if (sweep >= 0 && t + 1 < T)
                        sum += q[(t + 1) * K + i] * std::log(kChain[K + k * K + i]);
                }
                q[t * K + k] = std::exp(sum);
                total += q[t * K + k];
            }
            for (std::size_t k = 0; k < K; ++k)
                q[t * K + k] /= total;
        }
    }
    return q;
}

TEST_CASE(the_factorised_rule_is_plain_sweeps) {
    const Chain chain(4, kChain);
    const HmmTable table = chain.table();
    const std::vector<double> X = data();
    std::vector<double> exact(chain.model.stats_size());
    hmm_e_step(table, rows_of(X), sequences(), {}, {}, exact.data());
    std::vector<double> state(X.size() * 4);
    std::vector<double> stats(chain.model.stats_size());
    double before = -1e300;
    for (const int n_sweeps : {0, 1, 3, 8}) {
        hmm_sweep(table, rows_of(X), sequences(), {nullptr, state.data(), n_sweeps, 0.0}, 2, {},
                  stats.data());
        double entropy = 0;
        double transitions = 0;
        std::size_t first = 0;
        for (std::size_t s = 0; s < kLengths.size(); ++s) {
            const auto T = static_cast<std::size_t>(kLengths[s]);
            const std::vector<double> q = plain_sweeps(X, first, T, n_sweeps);
            for (std::size_t i = 0; i < q.size(); ++i) {
                CHECK(near(state[first * 4 + i], q[i], 1e-12));
                entropy -= q[i] > 0 ? kWeights[s] * q[i] * std::log(q[i]) : 0.0;
            }
            for (std::size_t t = 1; t < T; ++t)
                transitions += kWeights[s] * q[(t - 1) * 4 + 1] * q[t * 4 + 2];
            first += T;
        }
        CHECK(near(stats[1], entropy, 1e-12));
        CHECK(near(stats[2 + 4 + 4 + 2], transitions, 1e-12));
        CHECK(stats[0] >= before - 1e-9);  // sweeps climb
        CHECK(stats[0] <= exact[0]);       // and stay below the exact posterior
        before = stats[0];
    }
    // A warm start goes on where the last pass ended.
    std::vector<double> after(state.size());
    std::vector<double> straight(state.size());
    hmm_sweep(table, rows_of(X), sequences(), {state.data(), after.data(), 2, 0.0}, 1, {},
              stats.data());
    hmm_sweep(table, rows_of(X), sequences(), {nullptr, straight.data(), 10, 0.0}, 1, {},
              stats.data());
    CHECK(after == straight);
}

}  // namespace
