// From the rows of a caller to those of the models: checked, and converted where a family needs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/indexed_task.hpp"
#include "kernels/task.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::api {

// Throws std::invalid_argument unless the rows have this width and finite values, or NaN where that
// is a missing value.
detail::RowsView checked_rows(const Rows& rows, std::size_t n_features, bool takes_nan);

// How rows of a family of bits, counts or codes are read.
struct IndexedReader {
    detail::IndexedFamily family = detail::IndexedFamily::bernoulli;
    std::size_t n_features = 0;
    bool takes_nan = false;
    std::optional<double> binarize;          // a number above this is a one
    std::vector<std::int64_t> n_categories;  // D, of codes
};

// Rows in the storage of their family, which this owns.
class IndexedData {
  public:
    IndexedData(const IndexedReader& reader, const Rows& rows);

    const detail::IndexedRows& view() const { return view_; }
    bool is_float() const { return is_float_; }
    // The rows with their log base measures, which log densities need.
    const detail::IndexedRows& with_base(int n_threads, const Poll& poll);

  private:
    detail::IndexedFamily family_;
    bool is_float_;
    std::vector<std::uint8_t> bits_;
    std::vector<std::int32_t> codes_;
    std::vector<float> floats_;
    std::vector<double> doubles_;
    std::vector<double> base_;
    detail::IndexedRows view_;
};

}  // namespace vemfast::api
