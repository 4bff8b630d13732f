// The recursions over consecutive steps of one sequence, whatever its emissions are: compiled once
// a level, with the number of vectors of states known (see latents/chain*.hpp for what they do).
#pragma once

#include "chain_task.hpp"

namespace vemfast::VEMFAST_LEVEL {

void run_forward(const detail::ChainTables& chain, const double* b, double* a, double* r,
                 std::size_t n, bool begins, detail::ForwardState& state);
void run_backward(const detail::ChainTables& chain, const double* a, double* b, const double* r,
                  std::size_t n, double weight, double* h, double* g);
void run_backward_alone(const detail::ChainTables& chain, const double* b, std::size_t n,
                        double* h);
void run_best(const detail::ChainTables& chain, double* d, std::size_t n, bool begins);
bool run_sweeps(const detail::ChainTables& chain, const double* scores, double* q, std::size_t n,
                bool cold, int n_sweeps, double tolerance, double* row);
void add_pairs(const double* a, const double* u, std::size_t K, std::size_t ld, std::size_t n,
               double* out);

}  // namespace vemfast::VEMFAST_LEVEL
