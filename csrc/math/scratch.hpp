// Working memory of the O(K) half: on the stack where it is small, so that an iteration on a small
// data set allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace vemfast::detail {

// `size` doubles, not initialised unless a value is given.
class Scratch {
  public:
    explicit Scratch(std::size_t size) : data_(here_) {
        if (size > kHere) {
            elsewhere_.resize(size);
            data_ = elsewhere_.data();
        }
    }
    Scratch(std::size_t size, double value) : Scratch(size) { std::fill_n(data_, size, value); }
    Scratch(const double* values, std::size_t size) : Scratch(size) {
        std::copy_n(values, size, data_);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    double* data() { return data_; }
    const double* data() const { return data_; }
    double& operator[](std::size_t i) { return data_[i]; }
    double operator[](std::size_t i) const { return data_[i]; }

  private:
    static constexpr std::size_t kHere = 64;  // a matrix of 8 x 8
    double here_[kHere];
    std::vector<double> elsewhere_;
    double* data_;
};

}  // namespace vemfast::detail
