// Matrix products in single precision: a tile of C = A B in registers (Goto and van de Geijn 2008).
//
// A strip is kPanelColumns columns of the result (two vectors); B's numbers for it lie in a panel,
// row k at [k * kPanelColumns]. A stays where it is, either way round. The innermost kernel keeps a
// tile of C in registers: 6 x 16 floats with AVX2, 14 x 32 with AVX-512, 6 x 8 with SSE. Every
// number of C is one sum over k in rising order, in blocks whose size depends on K alone, wherever
// it stands in its tile: the bits do not depend on how strips and rows are shared among threads.
#pragma once

#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

inline constexpr std::size_t kPanelRows = kVectorBytes == 64 ? 14 : 6;
inline constexpr std::size_t kPanelColumns = 2 * kLanes<float>;
// A block of B's panel (24 KB with AVX2) stays in the first cache while the rows of A go by.
inline constexpr std::size_t kMostDepth = 384;
// Blocks start at multiples of this, the widest strip of any level.
inline constexpr std::size_t kDepthStep = 32;
static_assert(kMostDepth % kDepthStep == 0 && kDepthStep % kPanelColumns == 0);

// The length of the blocks that K is cut into: equal ones but for the last, which may be shorter.
inline std::size_t block_depth(std::size_t K) {
    const std::size_t blocks = (K + kMostDepth - 1) / kMostDepth;
    return blocks <= 1 ? K : ((K + blocks - 1) / blocks + kDepthStep - 1) / kDepthStep * kDepthStep;
}

// A left factor where it lies: number (m, k) at from[m * ld + k], or at from[k * ld + m] if turned.
struct LeftFactor {
    const float* from;
    std::size_t ld;
};

// Rows x kPanelColumns numbers of C from the first rows of A and a panel of B, stored, or added to
// what is there.
template <std::size_t Rows, bool turned>
static void multiply_tile(LeftFactor a, const float* b, std::size_t depth, bool add, float* c,
                          std::size_t ldc) {
    constexpr std::size_t L = kLanes<float>;
    Vec<float> sum[Rows][2] = {};
    const float* at = a.from;
    const std::size_t ld = a.ld;
    for (std::size_t k = 0; k < depth; ++k) {
        const Vec<float> left = load<float>(b), right = load<float>(b + L);
#pragma GCC unroll 14
        for (std::size_t r = 0; r < Rows; ++r) {
            const Vec<float> value = splat<float>(turned ? at[r] : at[r * ld]);
            sum[r][0] = mul_add<float>(value, left, sum[r][0]);
            sum[r][1] = mul_add<float>(value, right, sum[r][1]);
        }
        at += turned ? ld : 1;
        b += kPanelColumns;
    }
#pragma GCC unroll 14
    for (std::size_t r = 0; r < Rows; ++r) {
        float* to = c + r * ldc;
        store<float>(to, add ? load<float>(to) + sum[r][0] : sum[r][0]);
        store<float>(to + L, add ? load<float>(to + L) + sum[r][1] : sum[r][1]);
    }
}

template <std::size_t Rows, bool turned>
static inline void multiply_some(std::size_t rows, LeftFactor a, const float* b, std::size_t depth,
                                 bool add, float* c, std::size_t ldc) {
    if (rows == Rows)
        return multiply_tile<Rows, turned>(a, b, depth, add, c, ldc);
    if constexpr (Rows > 1)
        multiply_some<Rows - 1, turned>(rows, a, b, depth, add, c, ldc);
}

// `rows` rows of a strip of C. A last tile that would be low shares its rows with the one before:
// a low one waits for its own sums.
template <bool turned>
static void multiply_strip(LeftFactor a, std::size_t rows, const float* b, std::size_t depth,
                           bool add, float* c, std::size_t ldc) {
    while (rows > 0) {
        std::size_t height = rows < kPanelRows ? rows : kPanelRows;
        if (rows > kPanelRows && rows < 2 * kPanelRows)
            height = (rows + 1) / 2;
        multiply_some<kPanelRows, turned>(height, a, b, depth, add, c, ldc);
        a.from += turned ? height : height * a.ld;
        c += height * ldc;
        rows -= height;
    }
}

// A panel from a strip of B that lies in rows: `depth` rows of kPanelColumns numbers.
static void pack_strip(const float* b, std::size_t ld, std::size_t depth, float* out) {
    constexpr std::size_t L = kLanes<float>;
    for (std::size_t k = 0; k < depth; ++k) {
        const float* from = b + k * ld;
        store<float>(out + k * kPanelColumns, load<float>(from));
        store<float>(out + k * kPanelColumns + L, load<float>(from + L));
    }
}

// Lane r of the result's c-th vector is lane c of the r-th: `from` and `to` have rows of
// kPanelColumns numbers.
static inline void turn_square(const float* from, float* to) {
    constexpr std::size_t L = kLanes<float>;
    const auto row = [&](std::size_t r) { return load<float>(from + r * kPanelColumns); };
    // Column c of four rows each, in blocks of four numbers: columns c, c + 4, c + 8, ...
    Vec<float> of_rows[L / 4][4];
#pragma GCC unroll 4
    for (std::size_t g = 0; g < L / 4; ++g) {
        const Vec<float> a = row(4 * g), b = row(4 * g + 1), c = row(4 * g + 2), d = row(4 * g + 3);
        const Vec<float> low = stage_even<0>(a, b), high = stage_odd<0>(a, b);
        const Vec<float> low2 = stage_even<0>(c, d), high2 = stage_odd<0>(c, d);
        of_rows[g][0] = stage_even<1>(low, low2);
        of_rows[g][1] = stage_odd<1>(low, low2);
        of_rows[g][2] = stage_even<1>(high, high2);
        of_rows[g][3] = stage_odd<1>(high, high2);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < 4; ++c) {
        float* out = to + c * kPanelColumns;
        if constexpr (L == 4) {
            store<float>(out, of_rows[0][c]);
        } else if constexpr (L == 8) {
            store<float>(out, stage_even<2>(of_rows[0][c], of_rows[1][c]));
            store<float>(out + 4 * kPanelColumns, stage_odd<2>(of_rows[0][c], of_rows[1][c]));
        } else {
            const Vec<float> even = stage_even<2>(of_rows[0][c], of_rows[1][c]);
            const Vec<float> odd = stage_odd<2>(of_rows[0][c], of_rows[1][c]);
            const Vec<float> even2 = stage_even<2>(of_rows[2][c], of_rows[3][c]);
            const Vec<float> odd2 = stage_odd<2>(of_rows[2][c], of_rows[3][c]);
            store<float>(out, stage_even<2>(even, even2));
            store<float>(out + 4 * kPanelColumns, stage_even<2>(odd, odd2));
            store<float>(out + 8 * kPanelColumns, stage_odd<2>(even, even2));
            store<float>(out + 12 * kPanelColumns, stage_odd<2>(odd, odd2));
        }
    }
}

// A panel of Wᵀ from W in panels (of `rows` rows each): the strip of `columns` rows of W that
// starts at row `first`, numbers k to k + depth of each; k is a multiple of kPanelColumns. `out`
// has room for a multiple of kPanelColumns rows; what lies beyond `columns` is zero.
static void pack_turned(const float* panels, std::size_t rows, std::size_t first,
                        std::size_t columns, std::size_t k, std::size_t depth, float* out) {
    constexpr std::size_t L = kLanes<float>, C = kPanelColumns;
    for (std::size_t block = 0; block < depth; block += C) {
        const float* from = panels + ((k + block) / C * rows + first) * C;
        float* to = out + block * C;
        if (columns == C) {
            for (std::size_t i = 0; i < C; i += L) {
                for (std::size_t j = 0; j < C; j += L)
                    turn_square(from + i * C + j, to + j * C + i);
            }
            continue;
        }
        for (std::size_t j = 0; j < C; ++j) {
            for (std::size_t i = 0; i < C; ++i)
                to[j * C + i] = i < columns ? from[i * C + j] : 0.0F;
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
