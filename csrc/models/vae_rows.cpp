#include "models/vae_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vemfast::models {

namespace {

template <class T>
bool copy_numbers(const T* from, std::size_t n, float* to) {
    int missing = 0;
    for (std::size_t d = 0; d < n; ++d) {
        to[d] = static_cast<float>(from[d]);
        missing += std::isnan(from[d]) ? 1 : 0;
    }
    return missing > 0;
}

bool copy_bytes(const unsigned char* from, std::size_t n, float* to) {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    int missing = 0;
    for (std::size_t d = 0; d < n; ++d) {
        to[d] = from[d] == 255 ? kNaN : static_cast<float>(from[d]);
        missing += from[d] == 255 ? 1 : 0;
    }
    return missing > 0;
}

bool copy_sparse(const VaeRows& block, std::size_t row, std::size_t D, float* to) {
    bool missing = false;
    std::fill_n(to, D, 0.0F);
    for (std::int64_t e = block.indptr[row]; e < block.indptr[row + 1]; ++e) {
        float value = 1;
        if (block.storage == Storage::float32)
            value = static_cast<const float*>(block.values)[e];
        else if (block.storage == Storage::float64)
            value = static_cast<float>(static_cast<const double*>(block.values)[e]);
        to[block.indices[e]] = value;
        missing = missing || std::isnan(value);
    }
    return missing;
}

bool copy_dense(const VaeRows& block, std::size_t row, std::size_t D, float* to) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * block.row_stride;
    if (block.storage == Storage::float32)
        return copy_numbers(static_cast<const float*>(block.values) + at, D, to);
    if (block.storage == Storage::float64)
        return copy_numbers(static_cast<const double*>(block.values) + at, D, to);
    return copy_bytes(static_cast<const unsigned char*>(block.values) + at, D, to);
}

}  // namespace

ChosenRows::ChosenRows(std::size_t most_rows)
    : weights_(most_rows, 1.0),
      global_rows_(most_rows),
      // At first nobody knows what `observed` holds: as after missing values.
      has_missing_(most_rows, 1) {}

void ChosenRows::choose(const std::vector<VaeRows>& blocks, const std::int64_t* order,
                        std::size_t n) {
    size_ = n;
    order_ = order;
    if (blocks_ == &blocks)
        return;
    blocks_ = &blocks;
    first_of_block_.clear();
    std::int64_t first = 0;
    for (const VaeRows& block : blocks) {
        first_of_block_.push_back(first);
        first += static_cast<std::int64_t>(block.n_rows);
    }
}

void ChosenRows::choose(const VaeRows& block, std::size_t first, std::size_t n) {
    size_ = n;
    blocks_ = nullptr;
    block_ = &block;
    first_ = first;
}

const VaeRows& ChosenRows::locate(std::size_t i, std::size_t& row) const {
    if (blocks_ == nullptr) {
        row = first_ + i;
        return *block_;
    }
    const std::int64_t position = order_[i];
    const auto after = std::upper_bound(first_of_block_.begin(), first_of_block_.end(), position);
    const auto block = static_cast<std::size_t>(after - first_of_block_.begin()) - 1;
    row = static_cast<std::size_t>(position - first_of_block_[block]);
    return (*blocks_)[block];
}

void ChosenRows::copy(std::size_t i, std::size_t D, float* x, float* observed) {
    std::size_t row = 0;
    const VaeRows& block = locate(i, row);
    const bool missing =
        block.indptr != nullptr ? copy_sparse(block, row, D, x) : copy_dense(block, row, D, x);
    if (missing) {
        for (std::size_t d = 0; d < D; ++d) {
            const bool seen = !std::isnan(x[d]);
            observed[d] = seen ? 1.0F : 0.0F;
            x[d] = seen ? x[d] : 0.0F;
        }
    } else if (has_missing_[i] != 0) {
        std::fill_n(observed, D, 1.0F);
    }
    has_missing_[i] = missing ? 1 : 0;
    weights_[i] = block.weights == nullptr ? 1.0 : block.weights[row];
    global_rows_[i] = block.offset + row;
}

bool ChosenRows::any_missing() const {
    return std::any_of(has_missing_.begin(),
                       has_missing_.begin() + static_cast<std::ptrdiff_t>(size_),
                       [](unsigned char some) { return some != 0; });
}

}  // namespace vemfast::models
