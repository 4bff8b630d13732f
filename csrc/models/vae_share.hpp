// How the threads of a team share the strips of a product.
#pragma once

#include <algorithm>
#include <cstddef>

#include "exec/team.hpp"

namespace vemfast::models {

// Whole tiles of `grain` rows, about `target` rows in all: what a thread takes of a strip at a
// time.
inline std::size_t rows_of_a_piece(std::size_t rows, std::size_t target, std::size_t grain) {
    const std::size_t pieces = (rows + target - 1) / target;
    return ((rows + pieces - 1) / pieces + grain - 1) / grain * grain;
}

// Calls work(strip, first, end) for pieces of the strips, of at most `piece` rows of the `rows`
// that each has; for whole strips where there is one thread.
template <class Work>
void share(exec::Team& member, std::size_t strips, std::size_t rows, std::size_t piece,
           const Work& work) {
    const std::size_t own = member.size() == 1 ? rows : piece;
    const std::size_t pieces = (rows + own - 1) / own;
    member.share_out(strips * pieces, [&](std::size_t item) {
        const std::size_t first = item % pieces * own;
        work(item / pieces, first, std::min(rows, first + own));
    });
}

}  // namespace vemfast::models
