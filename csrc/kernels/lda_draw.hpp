// Logarithms of gamma draws of small shapes: those of the words that a topic has no tokens of,
// which are nearly all.
#pragma once

#include "../math/exp.hpp"
#include "../math/log.hpp"
#include "../math/philox.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// out_k = what random::Stream(seed, iteration, stream, k).log_gamma_of_small(shape_k) draws, where
// the shape is at most `most`; anything elsewhere.
static void lda_draw_small(const double* shape, std::size_t K, double most, std::uint64_t seed,
                           std::uint32_t iteration, std::uint32_t stream, double* out) {
    constexpr std::size_t L = kLanes<double>;
    const Vec<double> one = splat<double>(1.0);
    const Vec<double> zero = splat<double>(0.0);
    for (std::size_t k = 0; k < K; k += L) {
        const std::size_t count = K - k < L ? K - k : L;
        BitVec<double> column = splat_bits<double>(k);
        for (std::size_t lane = 0; lane < L; ++lane)
            column[lane] += lane;
        const Vec<double> given = load_partial<double>(shape + k, count, 2.0 * most);
        const auto is_small = given <= splat<double>(most);
        const Vec<double> a = select<double>(is_small, given, splat<double>(most));
        const Vec<double> left = a / (splat<double>(0x1.5bf0a8b145769p+1) * (one - a));
        const Vec<double> split = one / (one + left);
        Vec<double> waiting = select<double>(is_small, one, zero);
        Vec<double> drawn = zero;
        for (std::uint64_t attempt = 0; any_bit<double>(as_bits<double>(waiting)); ++attempt) {
            const PhiloxWords words =
                philox_words(splat_bits<double>(attempt), column, iteration, stream, seed);
            const Vec<double> u = philox_to_uniform(words.c0, words.c1);
            const Vec<double> v = philox_to_uniform(words.c2, words.c3);
            const auto is_left = u > split;
            const Vec<double> share =
                select<double>(is_left, (u - split) / (one - split), u / split);
            const Vec<double> log_share = vlog<double>(share);
            const Vec<double> log_x =
                select<double>(is_left, -log_share / (one - a), log_share / a);
            const Vec<double> bound =
                select<double>(is_left, one + log_x, zero) - vexp<double>(log_x);
            const Vec<double> accepted = select<double>(vlog<double>(v) < bound, waiting, zero);
            drawn = select<double>(accepted > zero, log_x, drawn);
            waiting = select<double>(accepted > zero, zero, waiting);
        }
        store_partial<double>(out + k, drawn, count);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
