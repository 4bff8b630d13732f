// Sums that are those of NumPy, bit for bit.
#pragma once

#include <span>

namespace vemfast::detail {

// The sum that NumPy makes of contiguous numbers: pairwise, in its order.
double pairwise_sum(std::span<const double> values);

}  // namespace vemfast::detail
