#include "io/rules.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "io/refuse.hpp"
#include "math/dense.hpp"

namespace vemfast::io {

namespace {

constexpr double kRounding = 1e-6;  // of what should be 1, or equal
constexpr double kMostCodes = 2147483648.0;

template <class Bad>
void refuse_if(const std::string& name, const Values& values, const char* what, Bad&& bad) {
    if (std::any_of(values.numbers.begin(), values.numbers.end(), bad))
        refuse(name, ": ", what);
}

// Calls what(matrix, order) for each matrix along the last two axes.
template <class What>
void for_each_matrix(const Values& values, What&& what) {
    const std::size_t n = values.last;
    for (std::size_t at = 0; n > 0 && at + n * n <= values.numbers.size(); at += n * n)
        what(values.numbers.data() + at, n);
}

void positive_diagonal(const std::string& name, const Values& values) {
    std::vector<double> diagonal;
    for_each_matrix(values, [&](const double* matrix, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i)
            diagonal.push_back(matrix[i * n + i]);
    });
    positive(name + ": diagonal", {diagonal, 1});
}

}  // namespace

void finite(const std::string& name, const Values& values) {
    refuse_if(name, values, "not finite", [](double x) { return !std::isfinite(x); });
}

void positive(const std::string& name, const Values& values) {
    finite(name, values);
    refuse_if(name, values, "not positive", [](double x) { return !(x > 0); });
}

void not_negative(const std::string& name, const Values& values) {
    finite(name, values);
    refuse_if(name, values, "negative", [](double x) { return x < 0; });
}

void probabilities(const std::string& name, const Values& values) {
    not_negative(name, values);
    refuse_if(name, values, "above 1", [](double x) { return x > 1; });
}

void stochastic(const std::string& name, const Values& values) {
    finite(name, values);
    refuse_if(name, values, "not between 0 and 1",
              [](double x) { return x < 0 || x > 1 + kRounding; });
    for (std::size_t at = 0; values.last > 0 && at < values.numbers.size(); at += values.last) {
        double sum = 0;
        for (std::size_t i = 0; i < values.last; ++i)
            sum += values.numbers[at + i];
        if (std::abs(sum - 1.0) > kRounding)
            refuse(name, ": sums to ", sum, ", not 1");
    }
}

void symmetric(const std::string& name, const Values& values) {
    positive_diagonal(name, values);
    for_each_matrix(values, [&](const double* matrix, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                const double unit = std::sqrt(matrix[i * n + i]) * std::sqrt(matrix[j * n + j]);
                const double skew = std::abs(matrix[i * n + j] - matrix[j * n + i]) / unit;
                if (!(skew <= kRounding))  // also for what is not finite
                    refuse(name, ": not symmetric");
            }
        }
    });
}

void positive_definite(const std::string& name, const Values& values) {
    symmetric(name, values);
    for_each_matrix(values, [&](const double* matrix, std::size_t n) {
        std::vector<double> trial(matrix, matrix + n * n);
        if (!detail::cholesky(trial.data(), n))
            refuse(name, ": not positive definite");
    });
}

void upper_factor(const std::string& name, const Values& values) {
    finite(name, values);
    positive_diagonal(name, values);
    for_each_matrix(values, [&](const double* matrix, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                if (matrix[i * n + j] != 0)
                    refuse(name, ": not upper triangular");
            }
        }
    });
}

void numbers_of_codes(const std::string& name, const Values& values) {
    positive(name, values);
    refuse_if(name, values, "not numbers of codes",
              [](double x) { return x != std::floor(x) || x > kMostCodes; });
}

Rule above(double least) {
    return [least](const std::string& name, const Values& values) {
        finite(name, values);
        for (const double x : values.numbers) {
            if (!(x > least))
                refuse(name, ": not above ", least);
        }
    };
}

}  // namespace vemfast::io
