#include "dense.hpp"

#include <algorithm>
#include <cmath>

#include "vemfast/poll.hpp"

namespace vemfast::detail {

namespace {

// Rows between two looks at the clock: a thousandth of a second's work where n is a thousand, and
// none at all where n is small.
constexpr std::size_t kRowsBetween = 64;

void after_row(std::size_t i) {
    if (i % kRowsBetween == kRowsBetween - 1)
        interruption_point();
}

}  // namespace

namespace {

// Eight sums side by side: one alone would wait for each addition, and the compiler may not
// reorder it.
double dot(const double* a, const double* b, std::size_t n) {
    constexpr std::size_t kSums = 8;
    if (n < kSums) {
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i)
            sum += a[i] * b[i];
        return sum;
    }
    double sums[kSums] = {};
    std::size_t i = 0;
    for (; i + kSums <= n; i += kSums) {
        for (std::size_t s = 0; s < kSums; ++s)
            sums[s] += a[i + s] * b[i + s];
    }
    double rest = 0;
    for (; i < n; ++i)
        rest += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest;
}

// Orders up to three have code of their own: a step on a small data set has little else to do. The
// same operations in the same order.

template <std::size_t N>
bool cholesky_of(double* a, double smallest_pivot) {
    for (std::size_t i = 0; i < N; ++i) {
        double* row = a + i * N;
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = row[j];
            double product = 0;
            for (std::size_t p = 0; p < j; ++p)
                product += row[p] * a[j * N + p];
            sum -= product;
            if (i == j && !(sum > smallest_pivot))
                return false;
            row[j] = i == j ? std::sqrt(sum) : sum / a[j * N + j];
        }
        for (std::size_t j = i + 1; j < N; ++j)
            row[j] = 0.0;
    }
    return true;
}

template <std::size_t N>
void invert_lower_of(const double* lower, double* out) {
    for (std::size_t i = 0; i < N; ++i) {
        double* row = out + i * N;
        for (std::size_t j = 0; j < N; ++j)
            row[j] = 0.0;
        for (std::size_t p = 0; p < i; ++p) {
            for (std::size_t j = 0; j <= p; ++j)
                row[j] -= lower[i * N + p] * out[p * N + j];
        }
        const double inverse = 1.0 / lower[i * N + i];
        for (std::size_t j = 0; j < i; ++j)
            row[j] *= inverse;
        row[i] = inverse;
    }
}

}  // namespace

bool cholesky(double* a, std::size_t n, double smallest_pivot) {
    if (n == 1)
        return cholesky_of<1>(a, smallest_pivot);
    if (n == 2)
        return cholesky_of<2>(a, smallest_pivot);
    if (n == 3)
        return cholesky_of<3>(a, smallest_pivot);
    for (std::size_t i = 0; i < n; ++i) {
        after_row(i);
        double* row = a + i * n;
        for (std::size_t j = 0; j < i; ++j) {
            const double* other = a + j * n;
            row[j] = (row[j] - dot(row, other, j)) / other[j];
        }
        const double pivot = row[i] - dot(row, row, i);
        if (!(pivot > smallest_pivot))
            return false;
        row[i] = std::sqrt(pivot);
        std::fill(row + i + 1, row + n, 0.0);
    }
    return true;
}

void invert_lower(const double* lower, std::size_t n, double* out) {
    if (n == 1)
        return invert_lower_of<1>(lower, out);
    if (n == 2)
        return invert_lower_of<2>(lower, out);
    if (n == 3)
        return invert_lower_of<3>(lower, out);
    std::fill(out, out + n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        after_row(i);
        double* row = out + i * n;
        for (std::size_t p = 0; p < i; ++p) {
            const double factor = lower[i * n + p];
            const double* other = out + p * n;
            for (std::size_t j = 0; j <= p; ++j)
                row[j] -= factor * other[j];
        }
        const double inverse = 1.0 / lower[i * n + i];
        for (std::size_t j = 0; j < i; ++j)
            row[j] *= inverse;
        row[i] = inverse;
    }
}

void gram_lower(const double* lower, std::size_t n, double* out) {
    std::fill(out, out + n * n, 0.0);
    for (std::size_t p = 0; p < n; ++p) {
        after_row(p);
        const double* row = lower + p * n;
        for (std::size_t i = 0; i <= p; ++i) {
            const double factor = row[i];
            double* target = out + i * n;
            for (std::size_t j = 0; j <= p; ++j)
                target[j] += factor * row[j];
        }
    }
}

namespace {

double off_diagonal(const double* a, std::size_t n) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < i; ++j)
            sum += a[i * n + j] * a[i * n + j];
    }
    return sum;
}

void rotate(double* a, double* vectors, std::size_t n, std::size_t p, std::size_t q) {
    const double apq = a[p * n + q];
    if (apq == 0.0)
        return;
    const double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(1.0, theta));
    const double c = 1.0 / std::hypot(1.0, t);
    const double s = t * c;
    for (std::size_t i = 0; i < n; ++i) {
        const double x = a[i * n + p];
        const double y = a[i * n + q];
        a[i * n + p] = c * x - s * y;
        a[i * n + q] = s * x + c * y;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const double x = a[p * n + i];
        const double y = a[q * n + i];
        a[p * n + i] = c * x - s * y;
        a[q * n + i] = s * x + c * y;
    }
    a[p * n + q] = 0.0;
    a[q * n + p] = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const double x = vectors[p * n + i];
        const double y = vectors[q * n + i];
        vectors[p * n + i] = c * x - s * y;
        vectors[q * n + i] = s * x + c * y;
    }
}

}  // namespace

void symmetric_eigen(double* a, std::size_t n, double* values, double* vectors) {
    std::fill(vectors, vectors + n * n, 0.0);
    double norm = 0;
    for (std::size_t i = 0; i < n; ++i) {
        vectors[i * n + i] = 1.0;
        for (std::size_t j = 0; j < n; ++j)
            norm += a[i * n + j] * a[i * n + j];
    }
    constexpr int kSweeps = 60;  // converges quadratically: some ten are ever used
    for (int sweep = 0; sweep < kSweeps && off_diagonal(a, n) > 1e-32 * norm; ++sweep) {
        for (std::size_t p = 0; p + 1 < n; ++p) {
            after_row(p);
            for (std::size_t q = p + 1; q < n; ++q)
                rotate(a, vectors, n, p, q);
        }
    }
    for (std::size_t i = 0; i < n; ++i)
        values[i] = a[i * n + i];
}

double log_diagonal(const double* lower, std::size_t n) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i)
        sum += std::log(lower[i * n + i]);
    return sum;
}

}  // namespace vemfast::detail
