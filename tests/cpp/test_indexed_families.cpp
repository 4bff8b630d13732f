// The O(K) half of the discrete families against quadrature and small steps: nothing here uses the
// closed forms under test.
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "families/indexed.hpp"
#include "vemfast/special.hpp"

namespace {

using namespace vemfast::detail;

constexpr std::size_t kComponents = 2;

std::unique_ptr<Indexed> family_of(IndexedFamily family, bool proper = true,
                                   bool marginalize = false) {
    IndexedShape shape{kComponents, 2, 2, {}, marginalize};
    IndexedPrior prior{proper, {1.3, 2.2}, {1.7, 1.1}};
    if (family == IndexedFamily::categorical) {
        shape.n_values = 5;  // columns of 2 and of 3 codes
        shape.column_offsets = {0, 2, 5};
        prior = {proper, {1.3, 1.7, 1.2, 2.5, 1.9}, {}};
    }
    return make_indexed(family, shape, prior);
}

// Statistics of some rows, n_indexed x K; a component of 5.5 rows and one of 2.25.
std::vector<double> stats_of(const Indexed& family) {
    switch (family.family()) {
        case IndexedFamily::bernoulli:  // absent: 0.5 and 0.25, 1 and 0
            return {5.5, 2.25, 3.0, 0.5, 1.25, 2.0, 0.5, 0.25, 1.0, 0.0};
        case IndexedFamily::poisson:
            return {5.5, 2.25, 13.0, 0.5, 1.25, 40.0, 0.5, 0.25, 1.0, 0.0};
        case IndexedFamily::categorical:
            return {5.5, 2.25, 3.5, 0.25, 2.0, 2.0, 1.0, 0.5, 3.0, 1.5, 1.5, 0.25};
    }
    return {};
}

IndexedStats view(const std::vector<double>& stats) {
    return {stats.data(), stats.data() + kComponents};
}

bool close(double a, double b, double tolerance) {
    return std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}

// Integral of f from a to b by Simpson's rule.
double integral(const std::function<double(double)>& f, double a, double b) {
    constexpr int kSteps = 200000;
    double sum = f(a) + f(b);
    for (int i = 1; i < kSteps; ++i)
        sum += (i % 2 == 1 ? 4.0 : 2.0) * f(a + (b - a) * i / kSteps);
    return sum * (b - a) / kSteps / 3.0;
}

struct Moments {
    double norm, kl, log_x, log_rest, x;
};

// By quadrature: of q against p, both densities without norm, over (0, end). `log_rest` is
// E log(end - x) for an end of one, 0 elsewhere.
Moments moments(const std::function<double(double)>& log_q,
                const std::function<double(double)>& log_p, double end) {
    // Substituting x = end u^2 (3 - 2 u): the powers at both ends become smooth.
    const auto over = [&](const std::function<double(double)>& f) {
        return integral(
            [&](double u) {
                const double x = end * u * u * (3.0 - 2.0 * u);
                return f(x) * end * 6.0 * u * (1.0 - u);
            },
            1e-7, 1.0 - 1e-7);
    };
    const double q = over([&](double x) { return std::exp(log_q(x)); });
    const double p = over([&](double x) { return std::exp(log_p(x)); });
    const auto mean = [&](const std::function<double(double)>& f) {
        return over([&](double x) { return std::exp(log_q(x)) / q * f(x); });
    };
    return {q, mean([&](double x) { return log_q(x) - log_p(x); }) - std::log(q) + std::log(p),
            mean([](double x) { return std::log(x); }),
            end == 1.0 ? mean([](double x) { return std::log1p(-x); }) : 0.0,
            mean([](double x) { return x; })};
}

std::function<double(double)> beta(double a, double b) {
    return [=](double x) { return (a - 1.0) * std::log(x) + (b - 1.0) * std::log1p(-x); };
}

std::function<double(double)> gamma(double shape, double rate) {
    return [=](double x) { return (shape - 1.0) * std::log(x) - rate * x; };
}

TEST_CASE(beta_posteriors_by_quadrature) {
    const auto family = family_of(IndexedFamily::bernoulli, true, true);
    const std::vector<double> stats = stats_of(*family);
    std::vector<double> q(family->posterior_size());
    family->posterior(view(stats), q.data());
    CHECK(close(q[0], 1.3 + 3.0, 1e-14) && close(q[4], 1.7 + 5.5 - 0.5 - 3.0, 1e-14));
    const IndexedNatural natural = family->expected_natural(q.data());
    const double a0[] = {1.3, 2.2};
    const double b0[] = {1.7, 1.1};
    double kl = 0;
    for (std::size_t k = 0; k < kComponents; ++k) {
        double constant = 0;
        for (std::size_t d = 0; d < 2; ++d) {
            const std::size_t i = d * kComponents + k;
            const Moments m = moments(beta(q[i], q[4 + i]), beta(a0[d], b0[d]), 1.0);
            kl += m.kl;
            constant += m.log_rest;
            CHECK(close(natural.table[i], m.log_x - m.log_rest, 1e-6));
            CHECK(close(natural.table[4 + i], -m.log_rest, 1e-6));
        }
        CHECK(close(natural.constant[k], constant, 1e-6));
    }
    CHECK(close(family->kl(q.data()), kl, 1e-6));
}

TEST_CASE(gamma_posteriors_by_quadrature) {
    const auto family = family_of(IndexedFamily::poisson, true, true);
    const std::vector<double> stats = stats_of(*family);
    std::vector<double> q(family->posterior_size());
    family->posterior(view(stats), q.data());
    CHECK(close(q[0], 1.3 + 13.0, 1e-14) && close(q[4], 1.7 + 5.5 - 0.5, 1e-14));
    const IndexedNatural natural = family->expected_natural(q.data());
    const double a0[] = {1.3, 2.2};
    const double b0[] = {1.7, 1.1};
    double kl = 0;
    for (std::size_t k = 0; k < kComponents; ++k) {
        double constant = 0;
        for (std::size_t d = 0; d < 2; ++d) {
            const std::size_t i = d * kComponents + k;
            const Moments m = moments(gamma(q[i], q[4 + i]), gamma(a0[d], b0[d]), 60.0);
            kl += m.kl;
            constant -= m.x;
            CHECK(close(natural.table[i], m.log_x, 1e-6));
            CHECK(close(natural.table[4 + i], m.x, 1e-6));
        }
        CHECK(close(natural.constant[k], constant, 1e-6));
    }
    CHECK(close(family->kl(q.data()), kl, 1e-6));
}

// Columns of two codes are beta posteriors; one of three is held to the same sums of its parts: a
// Dirichlet is a beta of its first code and a Dirichlet of the rest.
TEST_CASE(dirichlet_posteriors_by_quadrature) {
    const auto family = family_of(IndexedFamily::categorical);
    const std::vector<double> stats = stats_of(*family);
    std::vector<double> q(family->posterior_size());
    family->posterior(view(stats), q.data());
    const IndexedNatural natural = family->expected_natural(q.data());
    double kl = 0;
    for (std::size_t k = 0; k < kComponents; ++k) {
        const auto at = [&](std::size_t f) { return q[f * kComponents + k]; };
        const auto log_mean = [&](std::size_t f) { return natural.table[f * kComponents + k]; };
        const Moments two = moments(beta(at(0), at(1)), beta(1.3, 1.7), 1.0);
        CHECK(close(log_mean(0), two.log_x, 1e-6) && close(log_mean(1), two.log_rest, 1e-6));
        const Moments first = moments(beta(at(2), at(3) + at(4)), beta(1.2, 2.5 + 1.9), 1.0);
        const Moments rest = moments(beta(at(3), at(4)), beta(2.5, 1.9), 1.0);
        CHECK(close(log_mean(2), first.log_x, 1e-6));
        CHECK(close(log_mean(3), first.log_rest + rest.log_x, 1e-6));
        CHECK(close(log_mean(4), first.log_rest + rest.log_rest, 1e-6));
        kl += two.kl + first.kl + rest.kl;
        CHECK(natural.constant[k] == 0.0);
    }
    CHECK(close(family->kl(q.data()), kl, 1e-6));
}

// A density integrates to one: log_prior has its constants.
TEST_CASE(prior_densities_integrate_to_one) {
    for (const IndexedFamily which : {IndexedFamily::bernoulli, IndexedFamily::poisson}) {
        const auto family = family_of(which);
        const double end = which == IndexedFamily::bernoulli ? 1.0 : 60.0;
        const std::vector<double> elsewhere(4, 0.3);
        for (std::size_t i = 0; i < 4; ++i) {
            const auto log_density = [&](double x) {
                std::vector<double> point(elsewhere);
                point[i] = x;
                return family->log_prior(point.data());
            };
            const Moments m = moments(log_density, log_density, end);
            // Of the four factors the one of x is integrated; the others stand at 0.3.
            const double at = log_density(0.3);
            std::vector<double> other(elsewhere);
            const std::size_t d = i / kComponents;
            const double a[] = {1.3, 2.2};
            const double b[] = {1.7, 1.1};
            const double one = which == IndexedFamily::bernoulli
                                   ? beta(a[d], b[d])(0.3) + vemfast::special::lgamma(a[d] + b[d]) -
                                         vemfast::special::lgamma(a[d]) -
                                         vemfast::special::lgamma(b[d])
                                   : gamma(a[d], b[d])(0.3) + a[d] * std::log(b[d]) -
                                         vemfast::special::lgamma(a[d]);
            CHECK(close(std::log(m.norm), at - one, 1e-6));
        }
    }
    CHECK(family_of(IndexedFamily::bernoulli, false)->log_prior(nullptr) == 0.0);
}

// No small step from the mode raises the objective.
TEST_CASE(modes_are_maxima) {
    for (const IndexedFamily which :
         {IndexedFamily::bernoulli, IndexedFamily::poisson, IndexedFamily::categorical}) {
        for (const bool proper : {false, true}) {
            const auto family = family_of(which, proper, true);
            const std::vector<double> stats = stats_of(*family);
            std::vector<double> mode(family->point_size());
            family->start(mode.data());
            family->mode(view(stats), mode.data());
            const auto objective = [&](const std::vector<double>& point) {
                return family->expected_log_density(family->natural(point.data()), view(stats)) +
                       family->log_prior(point.data());
            };
            const double best = objective(mode);
            for (std::size_t i = 0; i < mode.size(); ++i) {
                for (const double step : {1e-4, -1e-4}) {
                    std::vector<double> moved(mode);
                    if (which == IndexedFamily::categorical) {  // stays on the simplex
                        const std::size_t code = i / kComponents;
                        const std::size_t other = code < 2 ? 1 - code : 2 + (code - 1) % 3;
                        moved[other * kComponents + i % kComponents] -= step;
                    }
                    moved[i] += step;
                    CHECK(objective(moved) < best);
                }
            }
        }
    }
}

// What has no data keeps what it had, and no count of zero is divided by.
TEST_CASE(components_without_data_keep_their_values) {
    for (const IndexedFamily which :
         {IndexedFamily::bernoulli, IndexedFamily::poisson, IndexedFamily::categorical}) {
        const auto family = family_of(which, false, true);
        const std::vector<double> stats(stats_of(*family).size(), 0.0);
        std::vector<double> point(family->point_size(), 0.123);
        family->mode(view(stats), point.data());
        for (const double value : point)
            CHECK(value == 0.123);
        CHECK(family->expected_log_density(family->natural(point.data()), view(stats)) == 0.0);
    }
}

// Zeros and ones are legal estimates: their tables are finite, and a feature that all rows have
// costs nothing.
TEST_CASE(boundary_estimates_have_finite_tables) {
    const auto family = family_of(IndexedFamily::bernoulli, false);
    const std::vector<double> stats = {3.0, 4.0, 3.0, 0.0, 0.0, 4.0};
    std::vector<double> point(4);
    family->start(point.data());
    family->mode(view(stats), point.data());
    CHECK(point[0] == 1.0 - 0x1p-53 && point[1] == 0.0);
    const IndexedNatural natural = family->natural(point.data());
    for (const double value : natural.table)
        CHECK(std::isfinite(value));
    for (const double value : natural.constant)
        CHECK(std::isfinite(value));
    CHECK(std::abs(family->expected_log_density(natural, view(stats))) < 1e-12);
}

}  // namespace
