#include "concentration.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

using special::digamma;
using special::lgamma;

constexpr int kMostSteps = 200;
constexpr int kMostHalvings = 60;
// A step that promises less, relative to the objective and the terms that it is a difference of, is
// the last: it squares what error is left, and the objective could not tell it from rounding.
constexpr double kRounding = 1e-12;
constexpr double kRoundingOfTerms = 1e-14;
// Where the data pull a concentration to zero or to infinity it ends here.
constexpr double kMostLost = 0.9;  // of an element in one step
constexpr double kLeast = 1e-12;
constexpr double kMost = 1e12;

// psi'(x), x > 0: the recurrence up to 16, then the asymptotic series.
double trigamma(double x) {
    double sum = 0;
    while (x < 16.0) {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    constexpr double kBernoulli[] = {1.0 / 6,  -1.0 / 30,       1.0 / 42, -1.0 / 30,
                                     5.0 / 66, -691.0 / 2730.0, 7.0 / 6};
    const double inverse = 1.0 / x;
    const double t = inverse * inverse;
    double series = 0;
    for (int i = 6; i >= 0; --i)
        series = series * t + kBernoulli[i];
    return sum + inverse + 0.5 * t + inverse * t * series;
}

double objective(const double* alpha, std::size_t K, double n, const double* sum_log) {
    double all = 0;
    double value = 0;
    for (std::size_t k = 0; k < K; ++k) {
        all += alpha[k];
        value += (alpha[k] - 1.0) * sum_log[k] - n * lgamma(alpha[k]);
    }
    return value + n * lgamma(all);
}

double enough(double value, double n, double terms) {
    return kRounding * (std::abs(value) + n) + kRoundingOfTerms * n * terms;
}

double symmetric_objective(double a, double dimension, double n, double sum_log) {
    return n * (lgamma(dimension * a) - dimension * lgamma(a)) + (a - 1.0) * sum_log;
}

}  // namespace

double fit_symmetric_concentration(double start, double dimension, double n, double sum_log) {
    double a = start;
    if (!(n > 0) || dimension <= 1)  // nothing depends on a
        return a;
    double value = symmetric_objective(a, dimension, n, sum_log);
    for (int step = 0; step < kMostSteps; ++step) {
        // In log a the optimum of a tiny or a huge a is as near as that of others.
        const double slope = a * (n * dimension * (digamma(dimension * a) - digamma(a)) + sum_log);
        const double bend =
            slope + a * a * n * dimension * (dimension * trigamma(dimension * a) - trigamma(a));
        double move = bend < 0 ? -slope / bend : (slope > 0 ? 1.0 : -1.0);
        move = std::clamp(move, -2.0, 2.0);
        const double terms = std::abs(lgamma(dimension * a)) + dimension * std::abs(lgamma(a));
        if (slope * move <= enough(value, n, terms))
            return std::clamp(a * std::exp(move), kLeast, kMost);
        bool moved = false;
        for (int halving = 0; halving < kMostHalvings && !moved; ++halving, move *= 0.5) {
            const double tried = std::clamp(a * std::exp(move), kLeast, kMost);
            const double tried_value = symmetric_objective(tried, dimension, n, sum_log);
            if (tried_value > value) {
                a = tried;
                value = tried_value;
                moved = true;
            }
        }
        if (!moved)
            break;
    }
    return a;
}

void fit_concentration(double* alpha, std::size_t K, double n, const double* sum_log) {
    if (!(n > 0) || K <= 1)
        return;
    std::vector<double> slope(K), curve(K), move(K), tried(K);
    double value = objective(alpha, K, n, sum_log);
    for (int step = 0; step < kMostSteps; ++step) {
        double all = 0;
        for (std::size_t k = 0; k < K; ++k)
            all += alpha[k];
        const double of_all = n * digamma(all);
        double top = 0;
        double bottom = 1.0 / (n * trigamma(all));
        for (std::size_t k = 0; k < K; ++k) {
            slope[k] = sum_log[k] + of_all - n * digamma(alpha[k]);
            curve[k] = -n * trigamma(alpha[k]);
            top += slope[k] / curve[k];
            bottom += 1.0 / curve[k];
        }
        const double common = top / bottom;
        double terms = std::abs(lgamma(all));
        double promise = 0;  // twice what the objective gains by a whole step
        double length = 1.0;
        for (std::size_t k = 0; k < K; ++k) {
            terms += std::abs(lgamma(alpha[k]));
            move[k] = -(slope[k] - common) / curve[k];
            promise += slope[k] * move[k];
            if (move[k] < -kMostLost * alpha[k])
                length = std::min(length, kMostLost * alpha[k] / -move[k]);
        }
        if (promise <= enough(value, n, terms)) {
            for (std::size_t k = 0; k < K; ++k)
                alpha[k] = std::clamp(alpha[k] + move[k], 0.5 * alpha[k], 2.0 * alpha[k]);
            return;
        }
        bool moved = false;
        for (int halving = 0; halving < kMostHalvings && !moved; ++halving, length *= 0.5) {
            for (std::size_t k = 0; k < K; ++k)
                tried[k] = std::clamp(alpha[k] + length * move[k], kLeast, kMost);
            const double tried_value = objective(tried.data(), K, n, sum_log);
            if (tried_value > value) {
                std::copy(tried.begin(), tried.end(), alpha);
                value = tried_value;
                moved = true;
            }
        }
        if (!moved)
            return;
    }
}

}  // namespace vemfast::detail
