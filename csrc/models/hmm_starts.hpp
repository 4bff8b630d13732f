// First components of states that are mixtures: groups of steps, and groups within them. The twin
// of vemfast/models/hmm_starts.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/batch_fit.hpp"

namespace vemfast::models {

// Some of the rows, each with a component, those of a state side by side; without components where
// a group has fewer rows than a state components.
class LabelledRows {
  public:
    LabelledRows(const Setup& setup, const detail::RowsView& rows, std::size_t n_mix, Start start,
                 std::uint64_t seed);
    LabelledRows(const LabelledRows&) = delete;
    LabelledRows& operator=(const LabelledRows&) = delete;

    const detail::RowsView& view() const { return view_; }

  private:
    std::vector<float> floats_;
    std::vector<double> doubles_;
    std::vector<double> weights_;
    std::vector<std::int32_t> labels_;
    detail::RowsView view_;
};

}  // namespace vemfast::models
