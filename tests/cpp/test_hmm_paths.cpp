// Hidden Markov models against the sum over all paths, for tiny K^T: every rule, family and
// precision, with weights, known states and structural zeros.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "isa/dispatch.hpp"
#include "models/hmm.hpp"
#include "vemfast/random.hpp"

namespace {

using namespace vemfast::detail;
using namespace vemfast::models;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

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
    std::size_t K, D;
    std::vector<std::int64_t> lengths;
    std::vector<double> weights;
    std::vector<std::int32_t> labels;
    std::vector<double> X;
    std::vector<float> narrow;
    std::vector<std::int32_t> codes;
    std::unique_ptr<GaussianMixture> gaussian;
    std::unique_ptr<DiscreteMixture> discrete;
    std::unique_ptr<HiddenMarkov> model;
    std::vector<double> params;
    bool is_float = false;

    std::size_t steps() const { return X.size() / D; }
    Sequences sequences(bool weighted = true) const {
        return {lengths.data(), lengths.size(), weighted ? weights.data() : nullptr,
                labels.empty() ? nullptr : labels.data(), 1000};
    }
    HmmRows rows() const {
        if (discrete) {
            IndexedRows view;
            view.storage = Storage::codes;
            view.n_rows = steps();
            view.n_features = D;
            view.data = codes.data();
            view.row_stride = static_cast<std::ptrdiff_t>(D);
            view.column_stride = 1;
            return {view, is_float};
        }
        RowsView view;
        view.data = is_float ? static_cast<const void*>(narrow.data()) : X.data();
        view.row_stride = static_cast<std::ptrdiff_t>(D);
        view.column_stride = 1;
        view.n_rows = steps();
        view.n_features = D;
        view.is_float = is_float;
        return {view, is_float};
    }
    HmmTable table() const { return model->prepare(Kind::point, params.data()); }
};

constexpr std::size_t kCodes = 4;

std::vector<double> simplex(std::size_t K, Numbers& u, bool zeros) {
    std::vector<double> out(K);
    double total = 0;
    for (std::size_t k = 0; k < K; ++k)
        total += out[k] = zeros && k + 1 < K && u() < 0.3 ? 0.0 : 0.1 + u();
    for (double& p : out)
        p /= total;
    return out;
}

enum class Family { diag, full, tied, spherical, categorical };

Problem problem(Family family, std::size_t K, std::vector<std::int64_t> lengths, bool is_float,
                bool zeros, bool labelled) {
    Problem out;
    out.K = K;
    out.D = 2;
    out.lengths = std::move(lengths);
    out.is_float = is_float;
    Numbers u(K * 7 + out.lengths.size());
    std::size_t steps = 0;
    for (const std::int64_t length : out.lengths) {
        out.weights.push_back(out.weights.size() == 1 ? 0.0 : 0.5 + u());
        steps += static_cast<std::size_t>(length);
    }
    for (std::size_t i = 0; i < steps * out.D; ++i) {
        out.codes.push_back(static_cast<std::int32_t>(kCodes * u()));
        const auto x = static_cast<float>(3.0 * u());
        out.X.push_back(family == Family::categorical ? out.codes.back() : x);
        out.narrow.push_back(x);
    }
    if (labelled) {
        for (std::size_t t = 0; t < steps; ++t)
            out.labels.push_back(u() < 0.7 ? -1 : static_cast<std::int32_t>(u() * K));
    }
    out.params = simplex(K, u, zeros);
    for (std::size_t k = 0; k < K; ++k) {
        const auto row = simplex(K, u, zeros);
        out.params.insert(out.params.end(), row.begin(), row.end());
    }
    const Weights none{WeightPrior::none, 1.0, K};
    Emissions emission;
    if (family == Family::categorical) {
        IndexedShape shape{K, out.D, kCodes * out.D, {0, kCodes, 2 * kCodes}, false};
        out.discrete = std::make_unique<DiscreteMixture>(
            none, make_indexed(IndexedFamily::categorical, shape,
                               {false, std::vector<double>(kCodes * out.D, 1.0), {}}));
        emission = static_cast<const DiscreteMixture*>(out.discrete.get());
        std::vector<double> table(kCodes * out.D * K);
        for (std::size_t k = 0; k < K; ++k) {
            for (std::size_t d = 0; d < out.D; ++d) {
                const auto p = simplex(kCodes, u, zeros);
                for (std::size_t c = 0; c < kCodes; ++c)
                    table[(d * kCodes + c) * K + k] = p[c];
            }
        }
        out.params.insert(out.params.end(), table.begin(), table.end());
    } else {
        const Covariance kind = family == Family::diag   ? Covariance::diag
                                : family == Family::full ? Covariance::full
                                : family == Family::tied ? Covariance::tied
                                                         : Covariance::spherical;
        out.gaussian = std::make_unique<GaussianMixture>(
            none, Gaussian(kind, K, out.D, {}, {1.0, 1.0}, 1e-6), std::vector<double>{1.0, 1.5});
        emission = static_cast<const GaussianMixture*>(out.gaussian.get());
        for (std::size_t i = 0; i < K * out.D; ++i)
            out.params.push_back(2.0 * u() - 1.0);
        const std::size_t n = kind == Covariance::tied ? 1 : K;
        for (std::size_t c = 0; c < n; ++c) {
            const double a = 0.3 + u();
            const double b = 0.3 + u();
            if (kind == Covariance::diag)
                out.params.insert(out.params.end(), {a, b});
            else if (kind == Covariance::spherical)
                out.params.push_back(a);
            else
                out.params.insert(out.params.end(), {a, 0.1, 0.1, b});
        }
    }
    std::vector<Simplex> rows;
    for (std::size_t k = 0; k < K; ++k)
        rows.emplace_back(K, std::vector<double>{}, std::vector<unsigned char>{},
                          std::vector<double>{});
    out.model = std::make_unique<HiddenMarkov>(emission, Simplex(K, {}, {}, {}), std::move(rows));
    return out;
}

// What the sum over all paths says of one sequence.
struct Truth {
    double log_normaliser = kMinusInfinity;
    double best = kMinusInfinity;
    std::vector<std::int32_t> best_path;
    std::vector<double> posterior;  // T x K
    std::vector<double> pairs;      // K x K
};

Truth enumerate(const Problem& of, const double* scores, std::size_t T) {
    const std::size_t K = of.K;
    std::size_t n_paths = 1;
    for (std::size_t t = 0; t < T; ++t)
        n_paths *= K;
    Truth out;
    out.posterior.assign(T * K, 0.0);
    out.pairs.assign(K * K, 0.0);
    std::vector<double> joint(n_paths);
    std::vector<std::int32_t> path(T);
    const auto walk = [&](std::size_t number) {
        // The first step is the most significant digit, so that ties go to the lowest states.
        for (std::size_t t = T; t-- > 0; number /= K)
            path[t] = static_cast<std::int32_t>(number % K);
    };
    for (std::size_t i = 0; i < n_paths; ++i) {
        walk(i);
        double sum = 0;
        for (std::size_t t = 0; t < T; ++t) {
            const auto k = static_cast<std::size_t>(path[t]);
            const double p = t == 0 ? of.params[k]
                                    : of.params[K + static_cast<std::size_t>(path[t - 1]) * K + k];
            sum += std::log(p) + scores[t * K + k];
        }
        joint[i] = sum;
        if (sum > out.best) {
            out.best = sum;
            out.best_path = path;
        }
    }
    double total = 0;
    for (const double value : joint)
        total += std::exp(value - out.best);
    out.log_normaliser = out.best + std::log(total);
    for (std::size_t i = 0; i < n_paths; ++i) {
        const double p = std::exp(joint[i] - out.log_normaliser);
        if (!(p > 0))
            continue;
        walk(i);
        for (std::size_t t = 0; t < T; ++t) {
            out.posterior[t * K + static_cast<std::size_t>(path[t])] += p;
            if (t > 0)
                out.pairs[static_cast<std::size_t>(path[t - 1]) * K +
                          static_cast<std::size_t>(path[t])] += p;
        }
    }
    return out;
}

bool near(double a, double b, double tolerance) {
    return a == b || std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}

bool all_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    bool fine = a.size() == b.size();
    for (std::size_t i = 0; fine && i < a.size(); ++i)
        fine = near(a[i], b[i], tolerance);
    return fine;
}

double log_density(const Problem& of, std::size_t t, std::size_t k) {
    const std::size_t K = of.K;
    const double* params = of.params.data() + K * (K + 1);
    if (of.discrete) {
        double sum = 0;
        for (std::size_t d = 0; d < of.D; ++d)
            sum += std::log(
                params[(d * kCodes + static_cast<std::size_t>(of.codes[t * of.D + d])) * K + k]);
        return sum;
    }
    const double* means = params + k * of.D;
    const double x = of.X[t * 2] - 1.0 - means[0];
    const double y = of.X[t * 2 + 1] - 1.5 - means[1];
    const double* scale = params + K * of.D;
    double a = 0;
    double b = 0;
    double c = 0;
    if (of.gaussian->covariance() == Covariance::diag) {
        a = scale[2 * k];
        b = scale[2 * k + 1];
    } else if (of.gaussian->covariance() == Covariance::spherical) {
        a = b = scale[k];
    } else {
        const double* own = scale + (of.gaussian->covariance() == Covariance::tied ? 0 : 4 * k);
        a = own[0];
        b = own[3];
        c = own[1];
    }
    const double determinant = a * b - c * c;
    return -std::log(2.0 * 3.14159265358979323846) - 0.5 * std::log(determinant) -
           0.5 * (b * x * x - 2 * c * x * y + a * y * y) / determinant;
}

std::vector<double> plain_scores(const Problem& of) {
    std::vector<double> out;
    for (std::size_t t = 0; t < of.steps(); ++t) {
        for (std::size_t k = 0; k < of.K; ++k) {
            const bool known = !of.labels.empty() && of.labels[t] >= 0;
            const bool ruled_out = known && of.labels[t] != static_cast<std::int32_t>(k);
            out.push_back(ruled_out ? kMinusInfinity : log_density(of, t, k));
        }
    }
    return out;
}

std::vector<Truth> truths(const Problem& of) {
    const std::vector<double> scores = plain_scores(of);
    std::vector<Truth> out;
    std::size_t first = 0;
    for (const std::int64_t length : of.lengths) {
        out.push_back(
            enumerate(of, scores.data() + first * of.K, static_cast<std::size_t>(length)));
        first += static_cast<std::size_t>(length);
    }
    return out;
}

void check_exact(const Problem& of) {
    const double tolerance = of.is_float ? 2e-5 : 1e-11;
    const std::vector<Truth> expected = truths(of);
    const HmmTable table = of.table();
    const std::size_t K = of.K;

    std::vector<double> score(of.lengths.size());
    hmm_score(table, of.rows(), of.sequences(false), 1, {}, score.data());
    std::vector<double> posteriors(of.steps() * K);
    hmm_posteriors(table, of.rows(), of.sequences(false), 1, {}, posteriors.data());
    std::vector<std::int32_t> path(of.steps());
    std::vector<double> joint(of.lengths.size());
    hmm_decode(table, of.rows(), of.sequences(false), 1, {}, path.data(), joint.data());
    std::vector<double> stats(of.model->stats_size());
    hmm_e_step(table, of.rows(), of.sequences(), {}, {}, stats.data());

    double bound = 0;
    std::vector<double> starts(K, 0.0);
    std::vector<double> pairs(K * K, 0.0);
    std::vector<double> counts(K, 0.0);
    std::vector<double> first_sums(K, 0.0);
    std::size_t first = 0;
    for (std::size_t s = 0; s < expected.size(); ++s) {
        const Truth& truth = expected[s];
        const double w = of.weights[s];
        const std::size_t T = truth.posterior.size() / K;
        CHECK(near(score[s], truth.log_normaliser, tolerance));
        CHECK(near(joint[s], truth.best, tolerance));
        bound += w * truth.log_normaliser;
        for (std::size_t i = 0; i < K * K; ++i)
            pairs[i] += w * truth.pairs[i];
        for (std::size_t t = 0; t < T; ++t) {
            CHECK(of.is_float || path[first + t] == truth.best_path[t]);
            for (std::size_t k = 0; k < K; ++k) {
                const double share = truth.posterior[t * K + k];
                CHECK(near(posteriors[(first + t) * K + k], share, tolerance));
                counts[k] += w * share;
                if (t == 0)
                    starts[k] += w * share;
                if (of.discrete)
                    first_sums[k] += of.codes[(first + t) * of.D] == 1 ? w * share : 0.0;
                else
                    first_sums[k] += w * share * (of.X[(first + t) * of.D] - 1.0);
            }
        }
        first += T;
    }
    const auto part = [&](std::size_t from, std::size_t size) {
        return std::vector<double>(stats.begin() + static_cast<std::ptrdiff_t>(from),
                                   stats.begin() + static_cast<std::ptrdiff_t>(from + size));
    };
    const std::size_t emission = 2 + K + K * K;
    CHECK(near(stats[0], bound, tolerance));
    CHECK(all_near(part(2, K), starts, tolerance));
    CHECK(all_near(part(2 + K, K * K), pairs, tolerance));
    CHECK(all_near(part(emission, K), counts, tolerance));
    for (std::size_t k = 0; k < K; ++k) {
        const std::size_t at = of.discrete ? emission + K + 1 * K + k : emission + K + 2 * k;
        CHECK(near(stats[at], first_sums[k], tolerance));
    }
    CHECK(near(stats[0],
               stats[1] + of.model->expected_log_joint(Kind::point, of.params.data(), stats.data()),
               1e-12));
    CHECK(stats[1] > -1e-6 * (1 + std::abs(bound)));
}

const std::vector<std::int64_t> kLengths{3, 1, 5, 2, 4};

TEST_CASE(exact_and_best_paths_equal_enumeration) {
    for (const Family family :
         {Family::diag, Family::full, Family::tied, Family::spherical, Family::categorical}) {
        for (const std::size_t K : {1U, 2U, 3U, 5U}) {
            for (const bool is_float : {false, true})
                check_exact(problem(family, K, kLengths, is_float, false, false));
        }
    }
}

TEST_CASE(structural_zeros_equal_enumeration) {
    for (const std::size_t K : {2U, 3U, 5U}) {
        check_exact(problem(Family::diag, K, kLengths, false, true, false));
        check_exact(problem(Family::full, K, kLengths, true, true, false));
    }
}

TEST_CASE(known_states_equal_enumeration) {
    for (const std::size_t K : {2U, 3U, 5U}) {
        check_exact(problem(Family::diag, K, kLengths, false, false, true));
        check_exact(problem(Family::categorical, K, kLengths, false, false, true));
    }
}

// Many states: the vectors do not fit into registers.
TEST_CASE(many_states_equal_enumeration) {
    for (const std::size_t K : {9U, 17U, 33U, 70U, 130U})
        check_exact(problem(Family::diag, K, {2, 1, 2}, false, false, false));
}

TEST_CASE(hard_statistics_are_those_of_the_best_path) {
    const Problem of = problem(Family::diag, 3, kLengths, false, false, false);
    const std::vector<Truth> expected = truths(of);
    std::vector<double> stats(of.model->stats_size());
    HmmPass pass;
    pass.rule = LocalRule::hard;
    hmm_e_step(of.table(), of.rows(), of.sequences(), pass, {}, stats.data());
    double bound = 0;
    std::vector<double> wanted(3 + 9 + 3 + 3, 0.0);
    std::size_t first = 0;
    for (std::size_t s = 0; s < expected.size(); ++s) {
        const double w = of.weights[s];
        const auto& path = expected[s].best_path;
        bound += w * expected[s].best;
        for (std::size_t t = 0; t < path.size(); ++t) {
            const auto k = static_cast<std::size_t>(path[t]);
            wanted[t == 0 ? k : 3 + 3 * static_cast<std::size_t>(path[t - 1]) + k] += w;
            wanted[12 + k] += w;
            wanted[15 + k] += w * (of.X[(first + t) * 2] - 1.0);
        }
        first += path.size();
    }
    CHECK(near(stats[0], bound, 1e-12));
    for (std::size_t i = 0; i < 15; ++i)
        CHECK(near(stats[2 + i], wanted[i], 1e-12));
    for (std::size_t k = 0; k < 3; ++k)
        CHECK(near(stats[2 + 15 + 2 * k], wanted[15 + k], 1e-12));
    CHECK(std::abs(stats[1]) < 1e-10);
}

// Relative frequencies of whole paths against their probabilities.
TEST_CASE(drawn_paths_have_their_probabilities) {
    const std::size_t K = 2;
    const Problem of = problem(Family::diag, K, {3}, false, false, false);
    const Truth truth = truths(of)[0];
    std::vector<double> pairs(K * K, 0.0);
    std::vector<double> starts(K, 0.0);
    constexpr int kDraws = 20000;
    HmmPass pass;
    pass.rule = LocalRule::sampled;
    pass.seed = 5;
    for (int i = 0; i < kDraws; ++i) {
        pass.iteration = static_cast<std::uint32_t>(i);
        std::vector<double> stats(of.model->stats_size());
        hmm_e_step(of.table(), of.rows(), of.sequences(), pass, {}, stats.data());
        CHECK(near(stats[0], of.weights[0] * truth.log_normaliser, 1e-12));
        for (std::size_t j = 0; j < K; ++j)
            starts[j] += stats[2 + j] / of.weights[0] / kDraws;
        for (std::size_t j = 0; j < K * K; ++j)
            pairs[j] += stats[2 + K + j] / of.weights[0] / kDraws;
    }
    for (std::size_t j = 0; j < K; ++j)
        CHECK(std::abs(starts[j] - truth.posterior[j]) < 5 * 0.5 / std::sqrt(kDraws));
    for (std::size_t j = 0; j < K * K; ++j)
        CHECK(std::abs(pairs[j] - truth.pairs[j]) < 5 * 1.0 / std::sqrt(kDraws));
}

}  // namespace
