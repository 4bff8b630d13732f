// Emissions of the indexed families, whose scores go by row already.
#pragma once

#include "chain_emission.hpp"
#include "indexed_estep.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
class IndexedEmission {
  public:
    using Steps = IndexedSteps<T>;

    static std::size_t bytes(const Steps& steps) { return indexed_workspace_bytes<T>(steps.sizes); }

    IndexedEmission(const Steps& steps, void* memory)
        : steps_(steps), task_(steps.task), space_(carve_indexed<T>(memory, steps.sizes)) {}

    void likelihoods(std::size_t row, std::size_t n, double* out, std::size_t ld, double* shift) {
        score(row, n);
        const std::size_t r_ld = task_.scores.ld;
        for (std::size_t i = 0; i < n; ++i) {
            const T* s = space_.r + i * r_ld;
            Vec<T> tops = load<T>(s);
            for (std::size_t k = kLanes<T>; k < r_ld; k += kLanes<T>)
                tops = max<T>(tops, load<T>(s + k));
            T largest = tops[0];
            for (std::size_t lane = 1; lane < kLanes<T>; ++lane)
                largest = tops[lane] > largest ? tops[lane] : largest;
            const T above = largest > kUnreachable<T> ? largest : T(0);
            shift[i] = static_cast<double>(above) + base(row + i);
            for (std::size_t k = 0; k < r_ld; k += kLanes<T>)
                put(load<T>(s + k) - splat<T>(above), k, ld, out + i * ld);
        }
    }

    void scores(std::size_t row, std::size_t n, double* out, std::size_t ld) {
        score(row, n);
        const std::size_t r_ld = task_.scores.ld;
        for (std::size_t i = 0; i < n; ++i) {
            const double more = base(row + i);
            for (std::size_t k = 0; k < ld; ++k) {
                const T s = space_.r[i * r_ld + k];
                out[i * ld + k] =
                    s > kUnreachable<T> ? static_cast<double>(s) + more : -__builtin_inf();
            }
        }
    }

    double base(std::size_t row) const {
        return task_.rows.base == nullptr ? 0.0 : task_.rows.base[row];
    }

    double accumulate(std::size_t row, std::size_t n, const double* g, std::size_t ld,
                      const double* /*w*/, double* stats) {
        const TileEntries<T> entries = tile_entries<T>(task_, row, n, space_.entries);
        const std::size_t r_ld = task_.scores.ld;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = 0; k < r_ld; ++k)
                space_.r[i * r_ld + k] = k < ld ? static_cast<T>(g[i * ld + k]) : T(0);
        }
        indexed_accumulate<T>(entries, task_.scores.n_indexed, space_.r, r_ld,
                              task_.scores.n_components, space_.features, space_.row, stats + 2,
                              nullptr);
        return 0;  // what is missing is no part of the statistics
    }

    void accumulate_labels(std::size_t row, std::size_t n, const std::int32_t* labels,
                           const double* w, double* stats) {
        const TileEntries<T> entries = tile_entries<T>(task_, row, n, space_.entries);
        for (std::size_t i = 0; i < n; ++i)
            space_.w[i] = static_cast<T>(w[i]);
        indexed_accumulate_labels<T>(entries, labels, space_.w, task_.scores.n_components,
                                     stats + 2, nullptr);
    }

  private:
    // Likelihoods of lanes k.. of one step.
    static void put(Vec<T> below, std::size_t k, std::size_t ld, double* out) {
        constexpr std::size_t W = kLanes<double>;
        Vec<double> parts[kLanes<T> / W];
        as_doubles(below, parts);
#pragma GCC unroll 2
        for (std::size_t h = 0; h < kLanes<T> / W; ++h) {
            if (k + h * W < ld)
                store<double>(out + k + h * W, likelihood_of(parts[h]));
        }
    }

    void score(std::size_t row, std::size_t n) {
        constexpr T kNever = -static_cast<T>(__builtin_inf());
        const std::size_t K = task_.scores.n_components;
        const std::size_t r_ld = task_.scores.ld;
        const TileEntries<T> entries = tile_entries<T>(task_, row, n, space_.entries);
        indexed_score<T>(task_.scores, entries, space_.r);
        for (std::size_t i = 0; i < n; ++i) {
            T* s = space_.r + i * r_ld;
            for (std::size_t k = K; k < r_ld; ++k)
                s[k] = kNever;
            if (steps_.labels == nullptr || steps_.labels[row + i] < 0)
                continue;
            for (std::size_t k = 0; k < K; ++k) {
                if (static_cast<std::int32_t>(k) != steps_.labels[row + i])
                    s[k] = kNever;
            }
        }
    }

    const Steps& steps_;
    const IndexedTask<T>& task_;
    IndexedWorkspace<T> space_;
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
