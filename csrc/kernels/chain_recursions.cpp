// The recursions of this level.
#include "chain_recursions.hpp"

#include "../latents/chain_pairs.hpp"
#include "../latents/chain_path.hpp"
#include "../latents/chain_registers.hpp"
#include "../latents/chain_sweep.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Calls body.operator()<V>() with the number of vectors of states, 0 for more than kChainVectors.
template <int V = 1, class Body>
inline auto with_vectors(std::size_t ld, Body body) {
    if constexpr (V > kChainVectors) {
        return body.template operator()<0>();
    } else {
        if (ld == V * kLanes<double>)
            return body.template operator()<V>();
        return with_vectors<V + 1>(ld, body);
    }
}

}  // namespace

void run_forward(const ChainTables& chain, const double* b, double* a, double* r, std::size_t n,
                 bool begins, ForwardState& state) {
    with_vectors(chain.ld, [&]<int V> {
        if constexpr (V == 1)
            forward_in_registers(chain, b, a, r, n, begins, state);
        else
            forward_run<V>(chain, b, a, r, n, begins, state);
    });
}

void run_backward(const ChainTables& chain, const double* a, double* b, const double* r,
                  std::size_t n, double weight, double* h, double* g) {
    with_vectors(chain.ld, [&]<int V> {
        if constexpr (V == 1)
            backward_in_registers(chain, a, b, r, n, weight, h, g);
        else
            backward_run<V>(chain, a, b, r, n, weight, h, g);
    });
}

void run_backward_alone(const ChainTables& chain, const double* b, std::size_t n, double* h) {
    with_vectors(chain.ld, [&]<int V> { backward_alone<V>(chain, b, n, h); });
}

void run_best(const ChainTables& chain, double* d, std::size_t n, bool begins) {
    with_vectors(chain.ld, [&]<int V> {
        if constexpr (V == 1)
            best_in_registers(chain, d, n, begins);
        else
            best_run<V>(chain, d, n, begins);
    });
}

bool run_sweeps(const ChainTables& chain, const double* scores, double* q, std::size_t n, bool cold,
                int n_sweeps, double tolerance, double* row) {
    return with_vectors(chain.ld, [&]<int V> {
        return sweep_sequence<V>(chain, scores, q, n, cold, n_sweeps, tolerance, row);
    });
}

void add_pairs(const double* a, const double* u, std::size_t K, std::size_t ld, std::size_t n,
               double* out) {
    sum_pairs(a, u, K, ld, n, out);
}

}  // namespace vemfast::VEMFAST_LEVEL
