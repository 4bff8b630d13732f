// Views of memory that somebody else owns. Strides count elements, may be negative or zero, and
// nothing is assumed about alignment beyond that of the element.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vemfast {

// A strided vector of `size` elements.
template <class T>
struct VectorView {
    T* data = nullptr;
    std::int64_t size = 0;
    std::ptrdiff_t stride = 1;

    T& operator[](std::int64_t i) const { return data[i * stride]; }
};

// A strided matrix: element (row, column) lies at data[row * row_stride + column * column_stride].
template <class T>
struct MatrixView {
    T* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t column_stride = 1;

    T& operator()(std::int64_t row, std::int64_t column) const {
        return data[row * row_stride + column * column_stride];
    }
    T* row(std::int64_t index) const { return data + index * row_stride; }
    bool has_contiguous_rows() const { return column_stride == 1 || columns <= 1; }
};

}  // namespace vemfast
