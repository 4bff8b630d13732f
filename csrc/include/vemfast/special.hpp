// Special functions of one double, for the O(K) arithmetic of priors and posteriors: digamma,
// log Gamma, and their multivariate forms. Arrays go through the vector code instead.
#pragma once

#include <math.h>  // lgamma_r is no member of <cmath>

#include <cmath>
#include <limits>
#include <numbers>

namespace vemfast::special {

// log |Gamma(x)|. Thread-safe, which std::lgamma need not be: it writes the global signgam.
inline double lgamma(double x) {
#if defined(_WIN32)
    return std::lgamma(x);
#else
    int sign = 0;
    return ::lgamma_r(x, &sign);
#endif
}

// digamma(x) = d log Gamma(x)/dx for x > 0; -inf at 0, NaN for NaN and for negative x.
//
// As csrc/math/digamma.hpp: below 16, psi(x) = psi(x + 8) - R - 1/x with R the sum of 1/(x + i),
// 0 < i < 8, computed as D'(x)/D(x), D(x) = (x + 1) ... (x + 7); then, w + 1/2 being the argument,
// the asymptotic series
//     psi(w + 1/2) = log w - sum_{n >= 1} B_2n(1/2)/(2 n w^2n),
// of which w >= 7.5 needs nine terms. Error at most 5 eps of max(1, |psi(x)|).
inline double digamma(double x) {
    if (!(x >= 0.0))
        return std::numeric_limits<double>::quiet_NaN();
    if (x == 0.0)
        return -std::numeric_limits<double>::infinity();
    if (std::isinf(x))
        return x;
    double sum = 0.0;
    double reciprocal = 0.0;
    double w = x - 0.5;
    if (x < 16.0) {
        constexpr double kProduct[] = {5040, 13068, 13132, 6769, 1960, 322, 28, 1};
        double product = 0.0;
        double slope = 0.0;
        for (int n = 7; n >= 0; --n)
            product = product * x + kProduct[n];
        for (int n = 7; n >= 1; --n)
            slope = slope * x + n * kProduct[n];
        sum = slope / product;
        reciprocal = 1.0 / x;
        w = x + 7.5;
    }
    constexpr double kSeries[] = {1.0 / 24,
                                  -7.0 / 960,
                                  31.0 / 8064,
                                  -127.0 / 30720,
                                  511.0 / 67584,
                                  -1414477.0 / 67092480,
                                  8191.0 / 98304,
                                  -118518239.0 / 267386880,
                                  5749691557.0 / 1882718208};
    const double inverse = 1.0 / w;
    const double t = inverse * inverse;
    double series = 0.0;
    for (int n = 8; n >= 0; --n)
        series = series * t + kSeries[n];
    return (std::log(w) + (t * series - sum)) - reciprocal;
}

// log of the multivariate gamma function of `dimension` >= 1, for x > (dimension - 1)/2:
// dimension (dimension - 1)/4 log pi + sum_i log Gamma(x - i/2), 0 <= i < dimension.
inline double multivariate_lgamma(double x, int dimension) {
    double sum = 0.25 * dimension * (dimension - 1) * std::log(std::numbers::pi);
    for (int i = 0; i < dimension; ++i)
        sum += lgamma(x - 0.5 * i);
    return sum;
}

// Its derivative: the sum of digamma(x - i/2), 0 <= i < dimension.
inline double multivariate_digamma(double x, int dimension) {
    double sum = 0.0;
    for (int i = 0; i < dimension; ++i)
        sum += digamma(x - 0.5 * i);
    return sum;
}

}  // namespace vemfast::special
