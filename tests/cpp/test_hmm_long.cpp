// Long sequences of a hidden Markov model, which are cut into chunks: against plain recursions of
// normalised numbers, for any number of threads; and what the scaled recursion cannot hold.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "models/hmm_steps.hpp"
#include "vemfast/poll.hpp"

namespace {

using namespace vemfast::detail;
using namespace vemfast::models;

constexpr std::size_t K = 3;

// Gaussians with unit variance at means 0, 2 and 4.
struct Problem {
    std::vector<double> X;
    std::vector<std::int64_t> lengths;
    std::vector<double> params;
    GaussianMixture emission{{WeightPrior::none, 1.0, K},
                             Gaussian(Covariance::diag, K, 1, {}, {1.0}, 1e-6),
                             std::vector<double>{0.0}};
    HiddenMarkov model{&emission, Simplex(K, {}, {}, {}),
                       std::vector<Simplex>(K, Simplex(K, {}, {}, {}))};

    Problem(std::vector<std::int64_t> of, std::vector<double> chain)
        : lengths(std::move(of)), params(std::move(chain)) {
        params.insert(params.end(), {0.0, 2.0, 4.0, 1.0, 1.0, 1.0});
        std::uint64_t state = 7;
        for (const std::int64_t length : lengths) {
            for (std::int64_t t = 0; t < length; ++t) {
                state = state * 6364136223846793005U + 1442695040888963407U;
                X.push_back(5.0 * static_cast<double>(state >> 11) * 0x1p-53);
            }
        }
    }
    HmmRows rows() const {
        RowsView view;
        view.data = X.data();
        view.row_stride = 1;
        view.column_stride = 1;
        view.n_rows = X.size();
        view.n_features = 1;
        return {view, false};
    }
    Sequences sequences() const { return {lengths.data(), lengths.size(), nullptr, nullptr, 0}; }
    HmmTable table() const { return model.prepare(Kind::point, params.data()); }
    double start(std::size_t k) const { return params[k]; }
    double move(std::size_t i, std::size_t j) const { return params[K + i * K + j]; }
    double score(std::size_t t, std::size_t k) const {
        const double x = X[t] - 2.0 * static_cast<double>(k);
        return -0.5 * x * x - 0.91893853320467274178;
    }
};

const std::vector<double> kChain{0.5, 0.3, 0.2, 0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.1, 0.3, 0.6};

struct Plain {
    double log_normaliser = 0;
    double best = 0;
    std::vector<double> posterior;  // T x K
    std::vector<double> pairs = std::vector<double>(K * K, 0.0);
    std::vector<std::int32_t> path;
};

Plain plain(const Problem& of, std::size_t first, std::size_t T) {
    Plain out;
    std::vector<double> forward(T * K);
    std::vector<double> norm(T);
    std::vector<double> best(T * K);
    for (std::size_t t = 0; t < T; ++t) {
        for (std::size_t k = 0; k < K; ++k) {
            double before = t == 0 ? of.start(k) : 0.0;
            double top = t == 0 ? std::log(of.start(k)) : -std::numeric_limits<double>::infinity();
            for (std::size_t i = 0; t > 0 && i < K; ++i) {
                before += forward[(t - 1) * K + i] * of.move(i, k);
                top = std::max(top, best[(t - 1) * K + i] + std::log(of.move(i, k)));
            }
            forward[t * K + k] = before * std::exp(of.score(first + t, k));
            best[t * K + k] = top + of.score(first + t, k);
            norm[t] += forward[t * K + k];
        }
        for (std::size_t k = 0; k < K; ++k)
            forward[t * K + k] /= norm[t];
        out.log_normaliser += std::log(norm[t]);
    }
    std::vector<double> backward(K, 1.0);
    out.posterior.resize(T * K);
    out.path.resize(T);
    for (std::size_t t = T; t-- > 0;) {
        std::size_t top = 0;
        std::vector<double> earlier(K, 0.0);
        for (std::size_t k = 0; k < K; ++k) {
            out.posterior[t * K + k] = forward[t * K + k] * backward[k];
            const auto value = [&](std::size_t i) {
                return best[t * K + i] +
                       (t + 1 == T
                            ? 0.0
                            : std::log(of.move(i, static_cast<std::size_t>(out.path[t + 1]))));
            };
            top = value(k) > value(top) ? k : top;
            for (std::size_t i = 0; t > 0 && i < K; ++i) {
                const double u =
                    of.move(i, k) * std::exp(of.score(first + t, k)) * backward[k] / norm[t];
                earlier[i] += u;
                out.pairs[i * K + k] += forward[(t - 1) * K + i] * u;
            }
        }
        if (t + 1 == T)
            out.best = best[t * K + top];
        out.path[t] = static_cast<std::int32_t>(top);
        backward = earlier;
    }
    return out;
}

bool near(double a, double b, double tolerance) {
    return std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}

void compare_with_plain(const Problem& of, double tolerance) {
    const HmmTable table = of.table();
    std::vector<double> score(of.lengths.size());
    std::vector<double> joint(of.lengths.size());
    std::vector<double> posteriors(of.X.size() * K);
    std::vector<std::int32_t> path(of.X.size());
    hmm_score(table, of.rows(), of.sequences(), 2, {}, score.data());
    hmm_decode(table, of.rows(), of.sequences(), 2, {}, path.data(), joint.data());
    hmm_posteriors(table, of.rows(), of.sequences(), 2, {}, posteriors.data());
    std::vector<double> stats(of.model.stats_size());
    hmm_e_step(table, of.rows(), of.sequences(), {}, {}, stats.data());
    std::vector<double> pairs(K * K, 0.0);
    std::size_t first = 0;
    double bound = 0;
    for (std::size_t s = 0; s < of.lengths.size(); ++s) {
        const auto T = static_cast<std::size_t>(of.lengths[s]);
        const Plain expected = plain(of, first, T);
        CHECK(near(score[s], expected.log_normaliser, 0.1 * tolerance));
        CHECK(near(joint[s], expected.best, tolerance));
        bound += expected.log_normaliser;
        bool same = true;
        double worst = 0;
        for (std::size_t t = 0; t < T; ++t)
            same = same && path[first + t] == expected.path[t];
        for (std::size_t i = 0; i < T * K; ++i)
            worst = std::max(worst, std::abs(posteriors[first * K + i] - expected.posterior[i]));
        CHECK(same);
        CHECK(worst < tolerance);
        for (std::size_t i = 0; i < K * K; ++i)
            pairs[i] += expected.pairs[i];
        first += T;
    }
    CHECK(near(stats[0], bound, 0.1 * tolerance));
    for (std::size_t i = 0; i < K * K; ++i)
        CHECK(near(stats[2 + K + i], pairs[i], tolerance));
}

TEST_CASE(chunks_of_long_sequences_equal_plain_recursions) {
    compare_with_plain(Problem({5, 70001, 20, 66000}, kChain), 1e-11);
}

// What is at the ends of the chunks cannot be found from the steps near them: the observations say
// nothing (nearly: no ties) of the state, which is left once in a million steps.
TEST_CASE(long_sequences_of_a_chain_that_hardly_mixes) {
    constexpr double rare = 1e-6;
    Problem of({70001}, {0.5, 0.3, 0.2, 1 - 2 * rare, rare, rare, rare, 1 - 2 * rare, rare, rare,
                         rare, 1 - 2 * rare});
    for (std::size_t t = 0; t < of.X.size(); ++t)
        of.X[t] = t < of.X.size() / 2 ? 0.9999 : 3.0001;  // between two means
    compare_with_plain(of, 1e-9);
}

TEST_CASE(the_bits_do_not_depend_on_threads) {
    const Problem of({5, 70001, 1, 1, 20, 9000, 66000}, kChain);
    const HmmTable table = of.table();
    for (const LocalRule rule : {LocalRule::exact, LocalRule::hard, LocalRule::sampled}) {
        std::vector<std::vector<double>> found;
        for (const int threads : {1, 2, 5}) {
            HmmPass pass;
            pass.rule = rule;
            pass.seed = 3;
            pass.n_threads = threads;
            found.emplace_back(of.model.stats_size());
            hmm_e_step(table, of.rows(), of.sequences(), pass, {}, found.back().data());
        }
        CHECK(found[0] == found[1]);
        CHECK(found[0] == found[2]);
    }
}

// A left-right chain, and a step that its first state, the only one that can be there, explains
// worse than another by more than a thousand nats: no double holds the ratio.
TEST_CASE(an_outlier_where_the_best_state_cannot_be_reached) {
    for (const std::int64_t T : {50, 70000}) {
        Problem of({T}, {1.0, 0.0, 0.0, 0.999, 0.001, 0.0, 0.0, 0.999, 0.001, 0.0, 0.0, 1.0});
        for (double& x : of.X)
            x *= 0.1;
        of.X[0] = 60.0;
        const HmmTable table = of.table();
        double score = 0;
        double bound = 0;
        hmm_score(table, of.rows(), of.sequences(), 1, {}, &score);
        std::vector<double> stats(of.model.stats_size());
        hmm_e_step(table, of.rows(), of.sequences(), {}, {}, stats.data());
        bound = stats[0];
        const double outlier = of.score(0, 0);
        of.X[0] = 0.0;
        double without = 0;
        hmm_score(table, of.rows(), of.sequences(), 1, {}, &without);
        CHECK(outlier < -1700);
        CHECK(near(score, without - of.score(0, 0) + outlier, 1e-10));
        CHECK(near(bound, score, 1e-10));
        CHECK(near(stats[2], 1.0, 1e-12));
        CHECK(stats[3] == 0.0);
    }
}

// Two chains that do not meet: the first half speaks for one by thousands of nats, the second half
// for the other by more, after every number of it has underflowed.
TEST_CASE(a_state_comes_back_after_its_weight_underflowed) {
    Problem of({3000}, {0.5, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0});
    for (std::size_t t = 0; t < of.X.size(); ++t)
        of.X[t] = t < 1000 ? 0.0 : 4.0;
    double expected = std::log(0.5);
    for (std::size_t t = 0; t < of.X.size(); ++t)
        expected += of.score(t, 2);
    const HmmTable table = of.table();
    double score = 0;
    hmm_score(table, of.rows(), of.sequences(), 1, {}, &score);
    CHECK(near(score, expected, 1e-12));
    std::vector<double> stats(of.model.stats_size());
    hmm_e_step(table, of.rows(), of.sequences(), {}, {}, stats.data());
    CHECK(near(stats[0], expected, 1e-12));
    CHECK(near(stats[4], 1.0, 1e-12));
}

int pauses = 0;

TEST_CASE(passes_over_a_long_sequence_ask_whether_to_go_on) {
    const Problem of({100'000}, kChain);
    const HmmTable table = of.table();
    const HmmRows rows = of.rows();
    const Sequences sequences = of.sequences();
    const ChainShape shape(K);
    const GaussianStepsOf<double> steps(table, rows, sequences, {}, shape.tile);
    const ChainSizes sizes{100'000, shape.tile};
    ChainTables chain = table.chain();
    CHECK(chain.pause == &vemfast::interruption_point);
    chain.pause = [] { ++pauses; };
    const auto& entry = GaussianStepsOf<double>::entry();
    const vemfast::exec::Memory memory =
        vemfast::exec::allocate(entry.workspace_bytes(chain, steps.steps, sizes));
    const std::int64_t end = 100'000;
    ChainPart part;
    part.n_steps = 100'000;
    part.n_sequences = 1;
    part.ends = &end;
    double value = 0;
    std::uint8_t failed = 0;
    const ChainOutcome outcome{&value, &failed, nullptr};
    std::vector<double> ends(100'000);
    std::vector<double> q(100'000 * K);
    std::vector<std::int32_t> labels(100'000);
    std::vector<double> stats(of.model.stats_size());
    const int n_tiles = static_cast<int>((100'000 + shape.tile - 1) / shape.tile);
    const auto asked = [](auto pass) {
        pauses = 0;
        pass();
        return pauses;
    };
    CHECK(asked([&] {
              entry.filter(chain, steps.steps, sizes, part, outcome, shape.chunk, memory.get(),
                           ends.data());
          }) >= n_tiles);
    CHECK(asked([&] {
              entry.smooth(chain, steps.steps, sizes, part, outcome, shape.chunk, memory.get(),
                           ends.data());
          }) >= n_tiles);
    CHECK(asked([&] {
              entry.decode(chain, steps.steps, sizes, part, -1, memory.get(), &value, labels.data(),
                           nullptr);
          }) >= n_tiles);
    CHECK(asked([&] {
              entry.sweep(chain, steps.steps, sizes, part, nullptr, {nullptr, q.data(), 2, 0.0},
                          outcome, memory.get(), stats.data());
          }) >= 3 * n_tiles);
}

TEST_CASE(an_impossible_sequence_is_named) {
    Problem of({4, 6}, {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0});
    std::vector<std::int32_t> labels(10, -1);
    labels[4 + 3] = 0;
    Sequences sequences = of.sequences();
    sequences.labels = labels.data();
    std::vector<double> stats(of.model.stats_size());
    bool named = false;
    try {
        hmm_e_step(of.table(), of.rows(), sequences, {}, {}, stats.data());
    } catch (const std::invalid_argument& error) {
        named = std::string(error.what()).starts_with("sequence 1 impossible from t=3");
    }
    CHECK(named);
    std::vector<double> score(2);
    hmm_score(of.table(), of.rows(), sequences, 1, {}, score.data());
    CHECK(std::isfinite(score[0]));
    CHECK(score[1] == -std::numeric_limits<double>::infinity());
}

}  // namespace
