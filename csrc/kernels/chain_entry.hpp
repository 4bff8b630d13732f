// The passes of a hidden Markov chain over one family of emissions, as functions of the table.
#pragma once

#include "../isa/hmm_kernels.hpp"
#include "chain_estep.hpp"
#include "chain_join.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class Emission>
struct ChainCalls {
    using Steps = typename Emission::Steps;
    using Pass = ChainPass<Emission>;
    using Join = ChainJoin<Emission>;

    static std::size_t bytes(const ChainTables& chain, const Steps& steps,
                             const ChainSizes& sizes) {
        const std::size_t pass = Pass::bytes(chain, steps, sizes);
        const std::size_t join = Join::bytes(chain, steps, sizes);
        return pass > join ? pass : join;
    }
    static bool leaf(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                     const ChainPart& part, const double* weights, const ChainOutcome& outcome,
                     void* memory, double* stats) {
        return Pass(chain, steps, sizes, memory).leaf(part, weights, outcome, stats);
    }
    static void filter(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                       const ChainPart& part, const ChainOutcome& outcome, std::size_t every,
                       void* memory, double* checkpoints) {
        Pass(chain, steps, sizes, memory).filter(part, outcome, every, checkpoints);
    }
    static void smooth(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                       const ChainPart& part, const ChainOutcome& outcome, std::size_t every,
                       void* memory, double* checkpoints) {
        Pass(chain, steps, sizes, memory).smooth(part, outcome, every, checkpoints);
    }
    static bool join(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                     const ChainPart& part, std::size_t at, void* memory, double* forward,
                     double* backward) {
        return Join(chain, steps, sizes, memory).vectors(part, at, forward, backward);
    }
    static bool join_best(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                          const ChainPart& part, std::size_t at, void* memory, double* row) {
        return Join(chain, steps, sizes, memory).best_row(part, at, row);
    }
    static bool decode_chunk(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                             const ChainPart& part, std::size_t left, void* memory,
                             double* log_joint, std::int32_t* labels) {
        return Join(chain, steps, sizes, memory).decode(part, left, log_joint, labels);
    }
    static void keep(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                     const ChainPart& part, void* memory, double* likelihoods, double* shift) {
        Pass(chain, steps, sizes, memory).keep(part, likelihoods, shift);
    }
    static void scores(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                       const ChainPart& part, void* memory, double* out) {
        Pass(chain, steps, sizes, memory).scores(part, out);
    }
    static void decode(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                       const ChainPart& part, std::int32_t next, void* memory, double* log_joint,
                       std::int32_t* labels, double* last) {
        Pass(chain, steps, sizes, memory).decode(part, next, log_joint, labels, last);
    }
    static void draw(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                     const ChainPart& part, std::int32_t next, std::uint64_t seed,
                     std::uint32_t iteration, std::uint64_t offset, const ChainOutcome& outcome,
                     void* memory, std::int32_t* labels) {
        Pass(chain, steps, sizes, memory)
            .draw(part, next, seed, iteration, offset, outcome, labels);
    }
    static void count(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                      const ChainPart& part, const double* weights, const ChainOutcome& outcome,
                      const std::int32_t* labels, void* memory, double* stats) {
        Pass(chain, steps, sizes, memory).count(part, weights, outcome, labels, stats);
    }
    static void sweep(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                      const ChainPart& part, const double* weights, const ChainSweeps& sweeps,
                      const ChainOutcome& outcome, void* memory, double* stats) {
        Pass(chain, steps, sizes, memory).sweep(part, weights, sweeps, outcome, stats);
    }
    static void add_shares(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes,
                           const ChainPart& part, const double* shares, const double* weights,
                           void* memory, double* stats) {
        Pass(chain, steps, sizes, memory).add_shares(part, shares, weights, stats);
    }
};

template <class Emission>
constexpr ChainEntry<typename Emission::Steps> chain_entry() {
    using Calls = ChainCalls<Emission>;
    return {&Calls::bytes,  &Calls::leaf,      &Calls::filter,       &Calls::smooth,
            &Calls::join,   &Calls::join_best, &Calls::decode_chunk, &Calls::keep,
            &Calls::scores, &Calls::decode,    &Calls::draw,         &Calls::count,
            &Calls::sweep,  &Calls::add_shares};
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
