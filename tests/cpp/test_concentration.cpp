// The maximum likelihood of Dirichlet concentrations: a zero gradient, from anywhere.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "families/concentration.hpp"
#include "vemfast/special.hpp"

namespace {

using vemfast::detail::fit_concentration;
using vemfast::detail::fit_symmetric_concentration;
using vemfast::special::digamma;

// Expected logarithms under a known concentration: its maximum is that concentration.
TEST_CASE(recovers_the_concentration_that_made_the_logarithms) {
    const std::vector<double> truth{0.02, 0.7, 3.0, 40.0, 1e-3};
    double all = 0;
    for (const double a : truth)
        all += a;
    std::vector<double> sums;
    for (const double a : truth)
        sums.push_back(250.0 * (digamma(a) - digamma(all)));
    for (const double start : {1e-4, 0.1, 1.0, 500.0}) {
        std::vector<double> alpha(truth.size(), start);
        fit_concentration(alpha.data(), alpha.size(), 250.0, sums.data());
        for (std::size_t k = 0; k < truth.size(); ++k)
            CHECK(std::abs(alpha[k] - truth[k]) < 1e-8 * truth[k]);
    }
}

TEST_CASE(recovers_a_symmetric_concentration) {
    for (const double truth : {1e-3, 0.05, 1.0, 30.0, 1e4}) {
        for (const double start : {1e-5, 0.1, 1.0, 1e3}) {
            const double sum = 70.0 * 20.0 * (digamma(truth) - digamma(20.0 * truth));
            const double found = fit_symmetric_concentration(start, 20.0, 70.0, sum);
            CHECK(std::abs(found - truth) < 1e-7 * truth);
        }
    }
}

TEST_CASE(stays_positive_and_finite_where_there_is_no_maximum) {
    std::vector<double> sums{-1e9, -0.5, -0.5};
    std::vector<double> alpha(3, 0.5);
    fit_concentration(alpha.data(), 3, 10.0, sums.data());
    for (const double a : alpha)
        CHECK(a > 0 && std::isfinite(a));
    // All documents in equal parts: without bound.
    std::vector<double> equal(3, 10.0 * std::log(1.0 / 3.0));
    alpha.assign(3, 0.5);
    fit_concentration(alpha.data(), 3, 10.0, equal.data());
    CHECK(alpha[0] > 1e3 && std::isfinite(alpha[0]));
    const double symmetric = fit_symmetric_concentration(0.5, 3.0, 10.0, 3.0 * equal[0]);
    CHECK(symmetric > 1e3 && std::isfinite(symmetric));
}

TEST_CASE(nothing_to_learn_from_changes_nothing) {
    double alpha = 0.3;
    const double sum = -2.0;
    fit_concentration(&alpha, 1, 5.0, &sum);
    CHECK(alpha == 0.3);
    CHECK(fit_symmetric_concentration(0.3, 4.0, 0.0, 0.0) == 0.3);
}

}  // namespace
