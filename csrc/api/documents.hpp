// From the documents of a caller to those of the models: checked, and as floats where those hold
// the counts exactly.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/lda_task.hpp"
#include "vemfast/lda.hpp"

namespace vemfast::api {

class CheckedDocuments {
  public:
    // Throws std::invalid_argument, which names document and word. The documents must outlive it.
    CheckedDocuments(const WordCounts& given, std::size_t n_words);
    CheckedDocuments(const CheckedDocuments&) = delete;
    CheckedDocuments& operator=(const CheckedDocuments&) = delete;

    const detail::Documents& view() const { return view_; }

  private:
    std::vector<float> floats_;
    detail::Documents view_;
};

}  // namespace vemfast::api
