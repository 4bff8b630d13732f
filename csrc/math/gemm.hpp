// Matrix products in single precision: C = A B over packed panels (Goto and van de Geijn 2008).
//
// A is packed into panels of kPanelRows rows, B strip by strip into panels of kPanelColumns columns
// (two vectors); the innermost kernel keeps a panel's tile of C in registers: 6 x 16 floats with
// AVX2, 14 x 32 with AVX-512, 6 x 8 with SSE. Strides let either factor be a transpose. Every
// number of C is one sum over k in rising order, in blocks whose size depends on K alone, wherever
// it stands in its tile: the bits do not depend on how strips are shared out among threads.
#pragma once

#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

inline constexpr std::size_t kPanelRows = kVectorBytes == 64 ? 14 : 6;
inline constexpr std::size_t kPanelColumns = 2 * kLanes<float>;
// A block of B's panel (24 KB with AVX2) stays in the first cache while the panels of A go by.
inline constexpr std::size_t kMostDepth = 384;

// The length of the blocks that K is cut into: equal ones, the last may be shorter.
inline std::size_t block_depth(std::size_t K) {
    const std::size_t blocks = (K + kMostDepth - 1) / kMostDepth;
    return blocks <= 1 ? K : (K + blocks - 1) / blocks;
}

// Panels [first, end) of A (M x K, number (m, k) at a[m * row_stride + k * column_stride]); row r
// of a panel's column k is at [k * kPanelRows + r]. Rows beyond M are zero.
static void pack_panels(const float* a, std::size_t row_stride, std::size_t column_stride,
                        std::size_t M, std::size_t K, std::size_t first, std::size_t end,
                        float* out) {
    for (std::size_t panel = first; panel < end; ++panel) {
        float* to = out + panel * kPanelRows * K;
        const float* from = a + panel * kPanelRows * row_stride;
        const std::size_t left = M - panel * kPanelRows;
        if (left >= kPanelRows) {
            for (std::size_t k = 0; k < K; ++k) {
                for (std::size_t r = 0; r < kPanelRows; ++r)
                    to[k * kPanelRows + r] = from[r * row_stride + k * column_stride];
            }
        } else {
            for (std::size_t k = 0; k < K; ++k) {
                for (std::size_t r = 0; r < kPanelRows; ++r)
                    to[k * kPanelRows + r] =
                        r < left ? from[r * row_stride + k * column_stride] : 0.0F;
            }
        }
    }
}

// A block of a strip of B: `depth` rows of kPanelColumns numbers, of which `columns` exist.
static void pack_strip(const float* b, std::size_t row_stride, std::size_t column_stride,
                       std::size_t depth, std::size_t columns, float* out) {
    if (columns == kPanelColumns && column_stride == 1) {
        for (std::size_t k = 0; k < depth; ++k) {
            const float* from = b + k * row_stride;
            store<float>(out + k * kPanelColumns, load<float>(from));
            store<float>(out + k * kPanelColumns + kLanes<float>,
                         load<float>(from + kLanes<float>));
        }
        return;
    }
    if (columns == kPanelColumns) {
        for (std::size_t k = 0; k < depth; ++k) {
            for (std::size_t j = 0; j < kPanelColumns; ++j)
                out[k * kPanelColumns + j] = b[k * row_stride + j * column_stride];
        }
        return;
    }
    for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t j = 0; j < kPanelColumns; ++j)
            out[k * kPanelColumns + j] = j < columns ? b[k * row_stride + j * column_stride] : 0.0F;
    }
}

// One tile: rows x columns numbers of C (at least one each) from a panel of A and one of B, stored,
// or added to what is there.
static inline void multiply_tile(const float* a, const float* b, std::size_t depth, bool add,
                                 std::size_t rows, std::size_t columns, float* c, std::size_t ldc) {
    constexpr std::size_t L = kLanes<float>;
    Vec<float> sum[kPanelRows][2] = {};
    for (std::size_t k = 0; k < depth; ++k) {
        const Vec<float> left = load<float>(b), right = load<float>(b + L);
#pragma GCC unroll 14
        for (std::size_t r = 0; r < kPanelRows; ++r) {
            const Vec<float> value = splat<float>(a[r]);
            sum[r][0] = mul_add<float>(value, left, sum[r][0]);
            sum[r][1] = mul_add<float>(value, right, sum[r][1]);
        }
        a += kPanelRows;
        b += kPanelColumns;
    }
    if (rows == kPanelRows && columns == kPanelColumns) {
#pragma GCC unroll 14
        for (std::size_t r = 0; r < kPanelRows; ++r) {
            float* to = c + r * ldc;
            store<float>(to, add ? load<float>(to) + sum[r][0] : sum[r][0]);
            store<float>(to + L, add ? load<float>(to + L) + sum[r][1] : sum[r][1]);
        }
        return;
    }
    float tile[kPanelRows * kPanelColumns];
#pragma GCC unroll 14
    for (std::size_t r = 0; r < kPanelRows; ++r) {
        store<float>(tile + r * kPanelColumns, sum[r][0]);
        store<float>(tile + r * kPanelColumns + L, sum[r][1]);
    }
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < columns; ++j) {
            const float value = tile[r * kPanelColumns + j];
            c[r * ldc + j] = add ? c[r * ldc + j] + value : value;
        }
    }
}

// One strip of C = A B: all M rows, `columns` <= kPanelColumns columns. `b` is the strip's first
// column, `c` likewise; `panel` has room for kMostDepth x kPanelColumns floats.
static void multiply_strip(const float* packed, std::size_t M, std::size_t K, const float* b,
                           std::size_t row_stride, std::size_t column_stride, std::size_t columns,
                           float* panel, float* c, std::size_t ldc) {
    const std::size_t step = block_depth(K);
    for (std::size_t k = 0; k < K; k += step) {
        const std::size_t depth = K - k < step ? K - k : step;
        pack_strip(b + k * row_stride, row_stride, column_stride, depth, columns, panel);
        for (std::size_t m = 0; m < M; m += kPanelRows) {
            const std::size_t rows = M - m < kPanelRows ? M - m : kPanelRows;
            multiply_tile(packed + m * K + k * kPanelRows, panel, depth, k > 0, rows, columns,
                          c + m * ldc, ldc);
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
