#include "models/batch_loop.hpp"

namespace vemfast::models {

// The numbers of vemfast.inference.restarts.seeds: a sum of any size, mixed by the finaliser of
// SplitMix64 (Steele, Lea and Flood 2014).
std::uint64_t start_seed(std::uint64_t random_state, std::uint64_t index) {
    std::uint64_t low = random_state;
    std::uint64_t high = 0;
    for (std::uint64_t i = 0; i < index; ++i) {
        low += 0x9E3779B97F4A7C15;
        high += low < 0x9E3779B97F4A7C15 ? 1 : 0;
    }
    low ^= high;
    low = (low ^ (low >> 30 | high << 34)) * 0xBF58476D1CE4E5B9;
    low = (low ^ low >> 27) * 0x94D049BB133111EB;
    return low ^ low >> 31;
}

}  // namespace vemfast::models
