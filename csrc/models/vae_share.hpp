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

// The same; whole strips where there is one thread, which need not share.
inline std::size_t rows_of_a_share(const exec::Team& member, std::size_t rows, std::size_t target,
                                   std::size_t grain) {
    return member.size() == 1 ? rows : rows_of_a_piece(rows, target, grain);
}

// Calls work(strip, first, end) for pieces of the strips, of at most `piece` rows of the `rows`
// that each has.
template <class Work>
void share(exec::Team& member, std::size_t strips, std::size_t rows, std::size_t piece,
           const Work& work) {
    const std::size_t pieces = (rows + piece - 1) / piece;
    member.share_out(strips * pieces, [&](std::size_t item) {
        const std::size_t first = item % pieces * piece;
        work(item / pieces, first, std::min(rows, first + piece));
    });
}

}  // namespace vemfast::models
