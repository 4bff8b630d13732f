// The workspace of a pass over a chain: rows of ld numbers a step, and other arrays, one behind the
// other; the emission's own lies behind them.
#pragma once

#include "chain_emission.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

class ChainSpace {
  protected:
    // Without memory the arrays are only counted.
    ChainSpace(const ChainTables& chain, const ChainSizes& sizes, void* memory)
        : chain_(&chain),
          K_(chain.n_states),
          ld_(chain.ld),
          tile_(sizes.tile_steps),
          most_(sizes.most_steps),
          memory_(static_cast<char*>(memory)) {}

    // An array of so many numbers; null without memory.
    double* take(std::size_t count) {
        char* const at = behind();
        used_ += (count * sizeof(double) + 63) / 64 * 64;
        return reinterpret_cast<double*>(at);
    }

    // Rows, and one before the first.
    double* take_rows(std::size_t count) {
        double* const rows = take((count + 1) * ld_);
        return rows == nullptr ? nullptr : rows + ld_;
    }

    // What lies behind the arrays; null without memory.
    char* behind() const { return memory_ == nullptr ? nullptr : memory_ + used_; }
    std::size_t used() const { return used_; }

    void copy(const double* from, double* to) const {
        for (std::size_t k = 0; k < ld_; ++k)
            to[k] = from[k];
    }

    const ChainTables* chain_;
    std::size_t K_, ld_, tile_, most_;

  private:
    char* memory_;
    std::size_t used_ = 0;  // bytes
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
