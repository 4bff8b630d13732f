// How the threads of a team share the strips of a product.
#pragma once

#include <algorithm>
#include <cstddef>

#include "exec/team.hpp"

namespace vemfast::models {

// Rows of strips, one strip behind the other, `rows` each.
struct RowRange {
    std::size_t first, end;
};

// This thread's share; within a strip it begins and ends at multiples of `grain` only.
inline RowRange own_rows(const exec::Team& member, std::size_t strips, std::size_t rows,
                         std::size_t grain) {
    const auto cut = [&](std::size_t at) { return at / rows * rows + at % rows / grain * grain; };
    return {cut(member.begin(strips * rows)), cut(member.end(strips * rows))};
}

// Calls work(strip, first, end) for this thread's share.
template <class Work>
void share(const exec::Team& member, std::size_t strips, std::size_t rows, std::size_t grain,
           const Work& work) {
    const RowRange own = own_rows(member, strips, rows, grain);
    for (std::size_t at = own.first; at < own.end;) {
        const std::size_t first = at % rows;
        const std::size_t end = std::min(rows, first + own.end - at);
        work(at / rows, first, end);
        at += end - first;
    }
}

}  // namespace vemfast::models
