#include "math/pairwise_sum.hpp"

#include <cstddef>

namespace vemfast::detail {

double pairwise_sum(std::span<const double> values) {
    constexpr std::size_t kBlock = 128;
    const std::size_t n = values.size();
    if (n < 8) {
        double sum = 0.0;
        for (const double value : values)
            sum += value;
        return sum;
    }
    if (n <= kBlock) {
        double parts[8];
        for (std::size_t i = 0; i < 8; ++i)
            parts[i] = values[i];
        const std::size_t whole = n - n % 8;
        for (std::size_t i = 8; i < whole; ++i)
            parts[i % 8] += values[i];
        double sum = ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
                     ((parts[4] + parts[5]) + (parts[6] + parts[7]));
        for (std::size_t i = whole; i < n; ++i)
            sum += values[i];
        return sum;
    }
    const std::size_t half = n / 2 - n / 2 % 8;
    return pairwise_sum(values.first(half)) + pairwise_sum(values.subspan(half));
}

}  // namespace vemfast::detail
