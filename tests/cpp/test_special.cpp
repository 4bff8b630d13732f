// Laws of the special functions and of the vector code on every level that this machine has. The
// accuracy against 50-digit values is tested in Python (tests/oracles/test_special.py).
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/special.hpp"

namespace {

using vemfast::kernels;
using vemfast::SpecialEntry;
namespace special = vemfast::special;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool near(double a, double b, double tolerance) {
    return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

bool same_bits(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

bool same_bits(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// An element's result depends on its value alone, not on its place or on the array's length; no
// byte beyond the end is written.
template <class T>
void check_tails(typename SpecialEntry<T>::Map function) {
    std::vector<T> x(100);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = T(0.37) * static_cast<T>(i + 1);
    std::vector<T> whole(x.size());
    function(x.data(), x.size(), whole.data());
    for (std::size_t first = 0; first < 4; ++first) {
        for (std::size_t n = 0; n < 40; ++n) {
            std::vector<T> out(n + 1, T(-7));
            function(x.data() + first, n, out.data());
            for (std::size_t i = 0; i < n; ++i)
                CHECK(same_bits(out[i], whole[first + i]));
            CHECK(out[n] == T(-7));
        }
    }
    std::vector<T> in_place = x;
    function(in_place.data(), in_place.size(), in_place.data());
    CHECK(in_place == whole);
}

template <class T>
void check_all_tails(const SpecialEntry<T>& entry) {
    for (auto function : {entry.exp, entry.log, entry.digamma, entry.exp_digamma, entry.lgamma})
        check_tails<T>(function);
}

TEST_CASE(tails_and_places) {
    check_all_tails(kernels().special.on_float);
    check_all_tails(kernels().special.on_double);
}

TEST_CASE(nonpositive_exp_is_exp) {
    const auto& entry = kernels().special.on_double;
    std::vector<double> x;
    for (int i = 0; i <= 7000; ++i)
        x.push_back(-0.1 * i);
    std::vector<double> fast(x.size());
    std::vector<double> full(x.size());
    entry.exp_nonpositive(x.data(), x.size(), fast.data());
    entry.exp(x.data(), x.size(), full.data());
    for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(std::abs(fast[i] - full[i]) <= 0x1.2p-52 * full[i]);
    const double far[] = {-kInf, -1e300, -750.0, -709.2};
    double zero[4];
    entry.exp_nonpositive(far, 4, zero);
    for (const double z : zero)
        CHECK(same_bits(z, 0.0));
    double nan = kNaN;
    entry.exp_nonpositive(&nan, 1, &nan);
    CHECK(std::isnan(nan));
}

// f(x + 1) - f(x) has a closed form.
TEST_CASE(recurrences) {
    const auto& entry = kernels().special.on_double;
    for (int i = 0; i < 100; ++i) {
        const double x = 0.03 * std::pow(1.07, i);
        const double pair[] = {x, x + 1.0};
        double psi[2];
        double lgamma[2];
        double exp_psi[2];
        entry.digamma(pair, 2, psi);
        entry.lgamma(pair, 2, lgamma);
        entry.exp_digamma(pair, 2, exp_psi);
        CHECK(near(psi[1] - psi[0], 1.0 / x, 1e-14));
        CHECK(near(lgamma[1] - lgamma[0], std::log(x), 1e-13));
        CHECK(near(exp_psi[0] / exp_psi[1], std::exp(-1.0 / x), 1e-13));
        CHECK(near(special::digamma(x), psi[0], 3e-15));
        CHECK(near(special::lgamma(x), lgamma[0], 3e-15));
    }
}

TEST_CASE(logsumexp_of_rows) {
    const auto& entry = kernels().special.on_double;
    for (std::size_t n = 1; n < 40; ++n) {
        std::vector<double> s(2 * n);
        for (std::size_t i = 0; i < s.size(); ++i)
            s[i] = 1000.0 + std::sin(double(i)) * 3.0;
        double out[2];
        entry.logsumexp(s.data(), 2, n, out);
        for (std::size_t row = 0; row < 2; ++row) {
            double sum = 0.0;
            for (std::size_t j = 0; j < n; ++j)
                sum += std::exp(s[row * n + j] - 1000.0);
            CHECK(near(out[row], 1000.0 + std::log(sum), 1e-15));
        }
        double edge = 0.0;
        s.assign(n, -kInf);
        entry.logsumexp(s.data(), 1, n, &edge);
        CHECK(edge == -kInf);
        s[n / 2] = kInf;
        entry.logsumexp(s.data(), 1, n, &edge);
        CHECK(edge == kInf);
        s[n - 1] = kNaN;
        entry.logsumexp(s.data(), 1, n, &edge);
        CHECK(std::isnan(edge));
        s.assign(n, 1.0);
        s[0] = kNaN;
        entry.logsumexp(s.data(), 1, n, &edge);
        CHECK(std::isnan(edge));
    }
}

TEST_CASE(scalar_functions) {
    CHECK(near(special::digamma(1.0), -0.57721566490153286, 1e-15));
    CHECK(special::digamma(0.0) == -kInf && special::digamma(-0.0) == -kInf &&
          special::digamma(kInf) == kInf);
    CHECK(std::isnan(special::digamma(-1.5)) && std::isnan(special::digamma(kNaN)));
    CHECK(special::lgamma(0.0) == kInf && special::lgamma(1.0) == 0.0 &&
          special::lgamma(2.0) == 0.0);
    // Dimension 1 is the function itself; dimension 2 by its definition.
    CHECK(special::multivariate_lgamma(3.7, 1) == special::lgamma(3.7));
    CHECK(special::multivariate_digamma(3.7, 1) == special::digamma(3.7));
    CHECK(near(special::multivariate_lgamma(3.7, 2),
               0.5 * std::log(M_PI) + special::lgamma(3.7) + special::lgamma(3.2), 1e-15));
    const double step = 1e-5;
    const double slope = (special::multivariate_lgamma(6.0 + step, 5) -
                          special::multivariate_lgamma(6.0 - step, 5)) /
                         (2.0 * step);
    CHECK(near(special::multivariate_digamma(6.0, 5), slope, 1e-8));
}

}  // namespace
