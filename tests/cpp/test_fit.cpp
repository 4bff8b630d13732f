// Fits without Python.
#include "vemfast/fit.hpp"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/random.hpp"

namespace {

using namespace vemfast;

// Two groups of rows, five apart.
std::vector<double> two_groups(std::size_t n, std::size_t D, std::uint64_t seed) {
    random::Stream stream(seed, 0, random::kStartStream, 1);
    std::vector<double> x(n * D);
    for (std::size_t i = 0; i < n * D; ++i)
        x[i] = stream.normal() + (i / D % 2 == 0 ? 5.0 : 0.0);
    return x;
}

Rows rows_of(const std::vector<double>& x, std::size_t D) {
    const auto n = static_cast<std::int64_t>(x.size() / D);
    return Rows(MatrixView<const double>{x.data(), n, static_cast<std::int64_t>(D),
                                         static_cast<std::ptrdiff_t>(D), 1});
}

GaussianMixtureOptions options_of(std::size_t K) {
    GaussianMixtureOptions options;
    options.n_components = K;
    return options;
}

TEST_CASE(two_groups_are_found_on_every_rung_and_the_objective_rises) {
    const auto x = two_groups(400, 2, 1);
    for (const auto inference : {Inference::em, Inference::hard_em, Inference::mean_field}) {
        for (const auto covariance :
             {CovarianceType::full, CovarianceType::tied, CovarianceType::diag,
              CovarianceType::spherical, CovarianceType::tied_spherical}) {
            auto options = options_of(2);
            options.inference = inference;
            options.covariance_type = covariance;
            const auto found = fit(rows_of(x, 2), options);
            CHECK(found.converged());
            CHECK(!found.degenerate);
            for (std::size_t i = 1; i < found.lower_bounds.size(); ++i)
                CHECK(found.lower_bounds[i] >= found.lower_bounds[i - 1] - 1e-6);
            const std::size_t high = found.means[0] > found.means[2] ? 0 : 1;
            CHECK(std::abs(found.means[2 * high] - 5.0) < 0.3);
            CHECK(std::abs(found.means[2 * (1 - high)]) < 0.3);
            CHECK(std::abs(found.weights[0] - 0.5) < 0.02);
        }
    }
}

TEST_CASE(one_component_is_the_closed_form) {
    const auto x = two_groups(50, 3, 2);
    const auto found = fit(rows_of(x, 3), options_of(1));
    for (std::size_t j = 0; j < 3; ++j) {
        double mean = 0;
        for (std::size_t n = 0; n < 50; ++n)
            mean += x[n * 3 + j] / 50;
        double variance = 0;
        for (std::size_t n = 0; n < 50; ++n)
            variance += (x[n * 3 + j] - mean) * (x[n * 3 + j] - mean) / 50;
        CHECK(std::abs(found.means[j] - mean) < 1e-12);
        CHECK(std::abs(found.covariances[j * 3 + j] - variance) < 1e-11);
    }
    CHECK(found.weights[0] == 1.0);
}

TEST_CASE(floats_and_weights) {
    const auto x = two_groups(200, 2, 3);
    const std::vector<float> narrow(x.begin(), x.end());
    std::vector<double> weights(200, 1.0);
    for (std::size_t n = 0; n < 200; n += 2)
        weights[n] = 0.0;  // the group at five
    const Rows rows(MatrixView<const float>{narrow.data(), 200, 2, 2, 1},
                    VectorView<const double>{weights.data(), 200, 1});
    const auto found = fit(rows, options_of(1));
    CHECK(std::abs(found.means[0]) < 0.3);
}

TEST_CASE(many_are_the_single_ones_and_a_bad_one_stops_nothing) {
    std::vector<std::vector<double>> sets;
    std::vector<Rows> data;
    std::vector<std::uint64_t> states;
    for (std::uint64_t i = 0; i < 20; ++i)
        sets.push_back(two_groups(100 + i, 2, i));
    sets[7][9] = std::nan("");
    for (const auto& x : sets) {
        data.push_back(rows_of(x, 2));
        states.push_back(100 + data.size());
    }
    for (const int threads : {1, 2}) {
        const auto found = fit_many(data, 2, options_of(3), states, threads);
        CHECK(found.n_fits == 20);
        CHECK(found.failures.size() == 1);
        CHECK(found.failures[0].first == 7);
        CHECK(found.failures[0].second ==
              "X contains NaN at row 4, column 1; drop or impute such rows, or fit with "
              "missing='marginalize'");
        CHECK(std::isnan(found.means[7 * 6]));
        for (std::size_t i = 0; i < 20; ++i) {
            if (i == 7)
                continue;
            const auto single = fit(data[i], options_of(3), states[i]);
            CHECK(single.lower_bound() == found.lower_bound[i]);
            CHECK(single.n_iter() == found.n_iter[i]);
            for (std::size_t j = 0; j < 6; ++j)
                CHECK(single.means[j] == found.means[i * 6 + j]);
            CHECK(found.trace[i + 1] - found.trace[i] == found.n_iter[i] + 1);
        }
    }
}

TEST_CASE(bad_options_are_refused) {
    const auto x = two_groups(20, 2, 1);
    const auto bad = [&x](auto change) {
        auto options = options_of(2);
        change(options);
        CHECK_THROWS(fit(rows_of(x, 2), options), std::invalid_argument);
    };
    bad([](auto& o) { o.n_components = 0; });
    bad([](auto& o) { o.n_components = 21; });
    bad([](auto& o) { o.max_iter = 0; });
    bad([](auto& o) { o.tol = -1.0; });
    bad([](auto& o) { o.n_init = 0; });
    bad([](auto& o) { o.reg_covar = 1.0; });
    bad([](auto& o) { o.means_init = {1.0}; });
    bad([](auto& o) { o.weights_init = {0.5, 0.6}; });
    bad([](auto& o) {
        o.equal_weights = true;
        o.weights_init = {0.9, 0.1};
    });
    bad([](auto& o) { o.covariances_init = std::vector<double>(8, -1.0); });
    bad([](auto& o) { o.weight_concentration_prior = 0.5; });
    bad([](auto& o) { o.dirichlet_process = true; });
    bad([](auto& o) { o.mean_prior = {0.0, 0.0}; });
    bad([](auto& o) { o.degrees_of_freedom_prior = 1.0; });
    bad([](auto& o) { o.covariance_prior = {1.0, 2.0, 2.0, 1.0}; });
}

TEST_CASE(a_singular_covariance_is_a_numerical_error) {
    std::vector<double> x;
    for (int n = 0; n < 20; ++n)
        x.insert(x.end(), {1.0 * n, 2.0 * n});
    auto options = options_of(1);
    options.reg_covar = 0.0;
    CHECK_THROWS(fit(rows_of(x, 2), options), NumericalError);
}

TEST_CASE(a_poll_that_says_stop_ends_many_fits) {
    const auto x = two_groups(2000, 4, 1);
    const std::vector<Rows> data(5000, rows_of(x, 4));
    const std::vector<std::uint64_t> states(5000, 0);
    auto options = options_of(8);
    options.tol = 0;
    options.max_iter = 1000;
    const Poll stop = [] { return true; };
    CHECK_THROWS(fit_many(data, 4, options, states, 2, stop), Interrupted);
}

TEST_CASE(a_fit_without_end_stops_on_whichever_thread_it_runs) {
    const auto x = two_groups(500, 4, 1);
    auto options = options_of(8);
    options.tol = 0;
    options.max_iter = 1'000'000'000;
    for (const std::size_t place : {0, 1, 2}) {
        std::vector<Rows> data(3, Rows(MatrixView<const double>{x.data(), 2, 4, 4, 1}));
        data[place] = rows_of(x, 4);
        const std::vector<std::uint64_t> states(3, 0);
        const auto begin = std::chrono::steady_clock::now();
        const auto seconds = [begin] {
            return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        };
        const Poll stop = [&seconds] { return seconds() > 0.1; };
        CHECK_THROWS(fit_many(data, 4, options, states, 2, stop), Interrupted);
        CHECK(seconds() < 5);
    }
}

}  // namespace
