// The rows of a batch: found in their blocks, and copied out of them as floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/vae.hpp"

namespace vemfast::models {

// A matrix of floats whose rows are padded (see vae_task.hpp).
struct Padded {
    float* data = nullptr;
    std::size_t ld = 0;
    float* row(std::size_t i) const { return data + i * ld; }
};

class ChosenRows {
  public:
    explicit ChosenRows(std::size_t most_rows);

    // Those at these positions of the blocks, or the n from `first` of one block, or none but
    // their number.
    void choose(const std::vector<VaeRows>& blocks, const std::int64_t* order, std::size_t n);
    void choose(const VaeRows& block, std::size_t first, std::size_t n);
    void choose(std::size_t n) { size_ = n; }

    std::size_t size() const { return size_; }

    // Copies row i: its D numbers, 0 where they are missing, and 1 or 0 for what was seen into
    // `observed` where something is missing; its weight and global number. Different rows may be
    // copied at the same time.
    void copy(std::size_t i, std::size_t D, float* x, float* observed);
    // Rows of `observed` are all ones but after a row with missing values.
    bool any_missing() const;
    const double* weights() const { return weights_.data(); }
    std::uint64_t global_row(std::size_t i) const { return global_rows_[i]; }

  private:
    const VaeRows& locate(std::size_t i, std::size_t& row) const;

    std::size_t size_ = 0;
    const std::vector<VaeRows>* blocks_ = nullptr;  // null: one block
    const VaeRows* block_ = nullptr;
    const std::int64_t* order_ = nullptr;
    std::size_t first_ = 0;
    std::vector<std::int64_t> first_of_block_;
    std::vector<double> weights_;
    std::vector<std::uint64_t> global_rows_;
    std::vector<unsigned char> has_missing_;
};

}  // namespace vemfast::models
