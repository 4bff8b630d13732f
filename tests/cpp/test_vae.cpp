// Networks against plain loops in double: widths around the tiles of any level, batches whose last
// is smaller, rows that are missing in part; and the same bits for any number of threads.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "models/vae.hpp"
#include "vemfast/errors.hpp"

namespace {

using namespace vemfast::models;
using vemfast::detail::Activation;
using vemfast::detail::Likelihood;

class Numbers {
  public:
    explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
    double operator()() {  // in (-1, 1)
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<double>(state_ >> 11) * 0x1p-52 - 1.0;
    }

  private:
    std::uint64_t state_;
};

struct Problem {
    VaeNetwork network;
    std::vector<float> weights, x;
    std::vector<double> row_weights;
    std::size_t n;

    Problem(VaeShape shape, std::size_t n_rows) : network(std::move(shape)), n(n_rows) {
        Numbers numbers(7);
        weights.resize(network.size());
        for (float& w : weights)
            w = static_cast<float>(0.3 * numbers());
        x.resize(n * network.shape().n_features);
        for (float& value : x)
            value = static_cast<float>(0.5 + 0.5 * numbers());
        for (std::size_t i = 0; i < n; ++i)
            row_weights.push_back(1.5 + numbers());
    }
    VaeRows rows() const {
        VaeRows rows;
        rows.n_rows = n;
        rows.offset = 3;
        rows.weights = row_weights.data();
        rows.values = x.data();
        rows.storage = Storage::float32;
        rows.row_stride = static_cast<std::ptrdiff_t>(network.shape().n_features);
        return rows;
    }
};

// The decoder's outputs of one row.
std::vector<double> outputs(const Problem& problem, const float* z) {
    std::vector<double> h(z, z + problem.network.shape().n_components);
    const auto& layers = problem.network.decoder();
    for (const Layer& layer : layers) {
        const float* W = problem.weights.data() + layer.offset;
        std::vector<double> sums(W + layer.inputs * layer.outputs,
                                 W + (layer.inputs + 1) * layer.outputs);
        for (std::size_t i = 0; i < layer.inputs; ++i) {
            for (std::size_t j = 0; j < layer.outputs; ++j)
                sums[j] += h[i] * W[i * layer.outputs + j];
        }
        if (&layer != &layers.back()) {
            for (double& value : sums)
                value = std::tanh(value);
        }
        h = sums;
    }
    return h;
}

bool near(double a, double b, double tolerance) {
    return std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b));
}

// log p(x|z) of one row of bits.
double density(const Problem& problem, std::size_t i, const float* z) {
    const std::size_t D = problem.network.shape().n_features;
    const std::vector<double> a = outputs(problem, z);
    double total = 0;
    for (std::size_t d = 0; d < D; ++d) {
        const double x = problem.x[i * D + d];
        if (!std::isnan(x))
            total += x * a[d] - std::log1p(std::exp(a[d]));
    }
    return total;
}

void check_densities(std::vector<std::size_t> hidden, std::size_t D, std::size_t Z, std::size_t n) {
    Problem problem({D, Z, std::move(hidden), Activation::tanh, Likelihood::bernoulli, 0}, n);
    problem.x[D / 2] = std::numeric_limits<float>::quiet_NaN();
    Numbers numbers(3);
    std::vector<float> z(n * Z);
    for (float& value : z)
        value = static_cast<float>(2.0 * numbers());
    std::vector<double> found(n);
    std::vector<float> of_z(n * Z);
    problem.network.log_density(problem.weights.data(), problem.rows(), z.data(), 2, {},
                                found.data(), of_z.data());
    std::vector<float> moved(Z);
    for (std::size_t i = 0; i < n; ++i) {
        const float* own = z.data() + i * Z;
        CHECK(near(found[i], density(problem, i, own), 1e-5));
        for (std::size_t j = 0; j < Z; j += 7) {
            const auto at = [&](float step) {
                std::copy_n(own, Z, moved.begin());
                moved[j] += step;
                return density(problem, i, moved.data());
            };
            const float step = 1.0F / 256;
            CHECK(near(of_z[i * Z + j], (at(step) - at(-step)) / (2.0 * step), 2e-3));
        }
    }
}

TEST_CASE(densities_are_those_of_plain_loops) {
    check_densities({}, 1, 1, 1);
    check_densities({5}, 15, 3, 7);
    check_densities({17, 33}, 31, 2, 13);
    check_densities({64}, 784, 20, 300);
}

TEST_CASE(gradients_are_differences) {
    for (const auto likelihood :
         {Likelihood::bernoulli, Likelihood::gaussian, Likelihood::poisson}) {
        const bool gaussian = likelihood == Likelihood::gaussian;
        Problem problem({19,
                         5,
                         {33, 6},
                         Activation::softplus,
                         likelihood,
                         gaussian ? std::size_t{19} : std::size_t{0}},
                        23);
        const VaePass pass{{}, 11, 2, 10, 2};
        const auto bound = [&](double step, const std::vector<double>& way) {
            std::vector<float> moved = problem.weights;
            for (std::size_t i = 0; i < moved.size(); ++i)
                moved[i] = static_cast<float>(moved[i] + step * way[i]);
            std::vector<double> unused(problem.network.size());
            return problem.network.gradient(moved.data(), problem.rows(), pass, {}, unused.data())
                .bound;
        };
        std::vector<double> gradient(problem.network.size());
        problem.network.gradient(problem.weights.data(), problem.rows(), pass, {}, gradient.data());
        Numbers numbers(5);
        for (int trial = 0; trial < 5; ++trial) {
            std::vector<double> way(gradient.size());
            for (double& part : way)
                part = numbers();
            const double numeric = (bound(1e-3, way) - bound(-1e-3, way)) / 2e-3;
            const double analytic =
                std::inner_product(way.begin(), way.end(), gradient.begin(), 0.0);
            CHECK(near(numeric, analytic, 0.02));
        }
    }
}

TEST_CASE(the_bits_do_not_depend_on_threads) {
    Problem problem({100, 7, {190, 61}, Activation::relu, Likelihood::bernoulli, 0}, 333);
    std::vector<std::int64_t> order(problem.n);
    for (std::size_t i = 0; i < problem.n; ++i)
        order[i] = static_cast<std::int64_t>((i * 7) % problem.n);
    std::vector<std::vector<float>> ends;
    std::vector<double> bounds;
    for (const int n_threads : {1, 2, 5}) {
        std::vector<float> weights = problem.weights, first(weights.size()), second(first);
        VaeTraining training{weights.data(), first.data(), second.data(), 0, 0, 0};
        const VaePass pass{{}, 4, 1, 100, n_threads};
        const VaeSums sums = problem.network.sweep(training, {}, {problem.rows()}, order.data(),
                                                   problem.n, pass, {});
        CHECK(training.updates == 4);
        CHECK(training.failures == 0);
        ends.push_back(weights);
        bounds.push_back(sums.bound);
    }
    CHECK(ends[0] != problem.weights);
    CHECK(ends[1] == ends[0]);
    CHECK(ends[2] == ends[0]);
    CHECK(bounds[1] == bounds[0]);
    CHECK(bounds[2] == bounds[0]);
}

// What becomes of training where the rates of counts are e^intercept.
VaeTraining trained_at(float intercept, bool& changed) {
    Problem problem({9, 2, {5}, Activation::relu, Likelihood::poisson, 0}, 50);
    for (std::size_t d = 1; d <= 9; ++d)
        problem.weights[problem.network.size() - d] = intercept;
    const std::vector<float> before = problem.weights;
    std::vector<float> first(before.size()), second(before.size());
    std::vector<std::int64_t> order(problem.n);
    std::iota(order.begin(), order.end(), 0);
    VaeTraining training{problem.weights.data(), first.data(), second.data(), 0, 0, 0};
    problem.network.sweep(training, {}, {problem.rows()}, order.data(), problem.n,
                          {{}, 4, 1, 10, 1}, {});
    changed = problem.weights != before;
    return training;
}

TEST_CASE(updates_that_are_not_finite_are_left_out) {
    for (const float intercept : {200.0F, 45.0F}) {  // the bound, or but a gradient, is too large
        bool changed = false;
        const VaeTraining training = trained_at(intercept, changed);
        CHECK(training.failures == kMostFailures);
        CHECK(training.halvings == kMostFailures);
        CHECK(training.updates == 0);
        CHECK(!changed);
    }
}

TEST_CASE(updates_by_large_gradients_are_made) {
    bool changed = false;
    const VaeTraining training = trained_at(30.0F, changed);
    CHECK(training.failures == 0);
    CHECK(training.updates == 5);
    CHECK(changed);
}

TEST_CASE(a_serial_pass_can_be_interrupted) {
    Problem problem({100, 7, {190}, Activation::relu, Likelihood::bernoulli, 0}, 30);
    const std::vector<float> before = problem.weights;
    std::vector<float> first(before.size()), second(before.size());
    std::vector<std::int64_t> order(300000);  // longer than the 50 ms between two questions
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = static_cast<std::int64_t>(i % problem.n);
    // Again and again: a single batch that a busy machine holds up for as long is asked for by
    // itself.
    for (int trial = 0; trial < 10; ++trial) {
        const int n_threads = 1 + trial % 2;
        int asked = 0;
        VaeTraining training{problem.weights.data(), first.data(), second.data(), 0, 0, 0};
        bool interrupted = false;
        try {
            problem.network.sweep(training, {}, {problem.rows()}, order.data(), order.size(),
                                  {{}, 4, 1, 10, n_threads}, [&] { return ++asked == 1; });
        } catch (const vemfast::Interrupted&) {
            interrupted = true;
        }
        CHECK(interrupted);
        CHECK(asked == 1);
        CHECK(training.updates == 0);  // half a pass is as none
        CHECK(problem.weights == before);
    }
}

}  // namespace
