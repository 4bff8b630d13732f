// Counter-based random numbers: Philox4x32-10, and draws made of it.
//
// A draw is a function of (seed, iteration, stream, counter) and of nothing else, so the same
// numbers come out for any number of threads and any cut of the rows. There are two ways in:
//     uniform(seed, iteration, row, stream)          one double of one row, in any order
//     Stream(seed, iteration, stream, index)         one sequence, for draws of parameters
// The same doubles come from vemfast/reference/random.py, which a test holds to this file.
//
// J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3.
// SC 2011. G. Marsaglia, W. W. Tsang: A simple method for generating gamma variables. ACM TOMS 26,
// 2000. G. E. P. Box, M. E. Muller: A note on the generation of random normal deviates. 1958.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace vemfast::random {

// What a draw is for; part of the counter, so that purposes never share numbers.
inline constexpr std::uint32_t kRowStream = 0;        // labels of rows
inline constexpr std::uint32_t kParameterStream = 1;  // parameters given statistics
inline constexpr std::uint32_t kStartStream = 2;      // starting values
inline constexpr std::uint32_t kShuffleStream = 3;    // the order of rows in a pass
// Rows of a table of parameters: one stream each, this one on, and one index a column.
inline constexpr std::uint32_t kTableStream = 1U << 16;
// Shapes of gammas up to this are drawn by log_gamma_of_small.
inline constexpr double kSmallShape = 0.5;

using Words = std::array<std::uint32_t, 4>;

// Ten rounds of Philox4x32: a bijection of the counter for every key.
inline Words philox(Words counter, std::uint64_t key) {
    std::uint32_t low = static_cast<std::uint32_t>(key);
    std::uint32_t high = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {
            static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ low, static_cast<std::uint32_t>(b),
            static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ high, static_cast<std::uint32_t>(a)};
        low += 0x9E3779B9;
        high += 0xBB67AE85;
    }
    return counter;
}

// A double strictly between 0 and 1 from 52 random bits: the middle of one of 2^52 equal cells.
inline double to_uniform(std::uint32_t high, std::uint32_t low) {
    const std::uint64_t bits = std::uint64_t{high} << 20 | low >> 12;
    return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

// The uniform of one row.
inline double uniform(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row,
                      std::uint32_t stream) {
    const Words words = philox(
        {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32), iteration, stream},
        seed);
    return to_uniform(words[0], words[1]);
}

// A sequence of draws. Streams of different index are independent of each other.
class Stream {
  public:
    Stream(std::uint64_t seed, std::uint32_t iteration, std::uint32_t stream, std::size_t index)
        : seed_(seed), counter_{0, static_cast<std::uint32_t>(index), iteration, stream} {}

    // Uniform on the open interval (0, 1). Each call of Philox serves two.
    double uniform() {
        if (has_uniform_) {
            has_uniform_ = false;
            return next_uniform_;
        }
        const Words words = philox(counter_, seed_);
        ++counter_[0];
        next_uniform_ = to_uniform(words[2], words[3]);
        has_uniform_ = true;
        return to_uniform(words[0], words[1]);
    }

    // Standard normal, by Box and Muller: a pair at a time, the sine's kept for the next call.
    double normal() {
        if (has_normal_) {
            has_normal_ = false;
            return next_normal_;
        }
        const double radius = std::sqrt(-2.0 * std::log(uniform()));
        const double angle = 2.0 * std::numbers::pi * uniform();
        next_normal_ = radius * std::sin(angle);
        has_normal_ = true;
        return radius * std::cos(angle);
    }

    // Gamma of shape a > 0 and scale 1. A tiny shape underflows to 0: see log_gamma_draw.
    double gamma(double shape) {
        if (shape >= 1.0)
            return gamma_at_least_one(shape);
        const double larger = gamma_at_least_one(shape + 1.0);
        return larger * std::pow(uniform(), 1.0 / shape);
    }

    // The logarithm of the draw that gamma(shape) would make, finite for any shape > 1e-300.
    double log_gamma_draw(double shape) {
        if (shape >= 1.0)
            return std::log(gamma_at_least_one(shape));
        const double larger = gamma_at_least_one(shape + 1.0);
        return std::log(larger) + std::log(uniform()) / shape;
    }

    // The logarithm of a gamma draw of a shape in (0, 1), in few attempts if it is small: of -shape
    // log X, whose density is below exp(-z) at z >= 0 and exp(-1 + (1/shape - 1) z) before.
    // C. Liu, R. Martin, N. Syring: Efficient simulation from a gamma distribution with small shape
    // parameter. Computational Statistics 32, 2017.
    double log_gamma_of_small(double shape) {
        const double left = shape / (std::numbers::e * (1.0 - shape));  // mass before 0
        const double split = 1.0 / (1.0 + left);
        for (;;) {
            const double u = uniform();
            const double v = uniform();
            const bool is_left = u > split;
            const double log_x = is_left ? -std::log((u - split) / (1.0 - split)) / (1.0 - shape)
                                         : std::log(u / split) / shape;
            if (std::log(v) < (is_left ? 1.0 + log_x : 0.0) - std::exp(log_x))
                return log_x;
        }
    }

    double chi2(double degrees_of_freedom) { return 2.0 * gamma(0.5 * degrees_of_freedom); }

    // A point of the simplex, from the gammas in order of k. In logarithms, so that concentrations
    // of any size give numbers that sum to one and never 0/0. `out` may be `concentration`.
    void dirichlet(const double* concentration, std::size_t size, double* out) {
        for (std::size_t k = 0; k < size; ++k)
            out[k] = log_gamma_draw(concentration[k]);
        const double largest = *std::max_element(out, out + size);
        double total = 0.0;
        for (std::size_t k = 0; k < size; ++k)
            total += out[k] = std::exp(out[k] - largest);
        for (std::size_t k = 0; k < size; ++k)
            out[k] /= total;
    }

  private:
    // Marsaglia and Tsang's squeeze, for shapes of at least 1.
    double gamma_at_least_one(double shape) {
        const double d = shape - 1.0 / 3.0;
        const double c = 1.0 / std::sqrt(9.0 * d);
        for (;;) {
            const double x = normal();
            const double root = 1.0 + c * x;
            if (root <= 0.0)
                continue;
            const double v = root * root * root;
            const double u = uniform();
            const double x2 = x * x;
            if (u < 1.0 - 0.0331 * x2 * x2)
                return d * v;
            if (std::log(u) < 0.5 * x2 + d * (1.0 - v + std::log(v)))
                return d * v;
        }
    }

    std::uint64_t seed_;
    Words counter_;
    double next_uniform_ = 0.0;
    double next_normal_ = 0.0;
    bool has_uniform_ = false;
    bool has_normal_ = false;
};

}  // namespace vemfast::random
