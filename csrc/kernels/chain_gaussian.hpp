// Gaussian emissions of a chain, and states that are mixtures of them. Their scores go by component
// and are turned to go by step, the shares of the states back.
#pragma once

#include "chain_emission.hpp"
#include "mixture_estep.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Lane r of v[c] becomes lane c of v[r].
inline void transpose(Vec<double> (&v)[kLanes<double>]) {
#if VEMFAST_VECTOR_BYTES == 16
    const Vec<double> a = v[0], b = v[1];
    v[0] = __builtin_shufflevector(a, b, 0, 2);
    v[1] = __builtin_shufflevector(a, b, 1, 3);
#elif VEMFAST_VECTOR_BYTES == 32
    const Vec<double> a = __builtin_shufflevector(v[0], v[1], 0, 4, 2, 6);
    const Vec<double> b = __builtin_shufflevector(v[0], v[1], 1, 5, 3, 7);
    const Vec<double> c = __builtin_shufflevector(v[2], v[3], 0, 4, 2, 6);
    const Vec<double> d = __builtin_shufflevector(v[2], v[3], 1, 5, 3, 7);
    v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    v[2] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#else
    double cells[8][8];
    for (std::size_t c = 0; c < 8; ++c)
        store<double>(cells[c], v[c]);
    for (std::size_t r = 0; r < 8; ++r) {
        for (std::size_t c = 0; c < 8; ++c)
            v[r][c] = cells[c][r];
    }
#endif
}

// Scores as the recursions in logarithms want them.
template <class T>
inline Vec<T> reachable_score(Vec<T> score) {
    return select<T>(score > splat<T>(kUnreachable<T>), score,
                     splat<T>(-static_cast<T>(__builtin_inf())));
}

// By step from scores by component, s[k * s_ld + n], padded to whole vectors of T.
template <class T>
static void by_step(const T* s, std::size_t s_ld, std::size_t K, std::size_t n, bool exponentials,
                    double* out, std::size_t ld, double* shift) {
    constexpr std::size_t W = kLanes<double>;
    constexpr std::size_t H = kLanes<T> / W;
    const Vec<T> pad = splat<T>(-static_cast<T>(__builtin_inf()));
    for (std::size_t first = 0; first < n; first += kLanes<T>) {
        const std::size_t count = at_most(n - first, kLanes<T>);
        Vec<T> largest = load<T>(s + first);
        for (std::size_t k = 1; k < K; ++k)
            largest = max<T>(largest, load<T>(s + k * s_ld + first));
        // Above all scores where no state can have the step: all likelihoods are zero then.
        const Vec<T> above = select<T>(largest > splat<T>(kUnreachable<T>), largest, Vec<T>{});
        for (std::size_t r = 0; exponentials && r < count; ++r)
            shift[first + r] = static_cast<double>(above[r]);
        for (std::size_t k = 0; k < ld; k += W) {
            Vec<double> block[H][W];
#pragma GCC unroll 8
            for (std::size_t c = 0; c < W; ++c) {
                Vec<T> value = pad;
                if (k + c < K) {
                    value = load<T>(s + (k + c) * s_ld + first);
                    value = exponentials ? value - above : reachable_score<T>(value);
                }
                Vec<double> parts[H];
                as_doubles(value, parts);
#pragma GCC unroll 2
                for (std::size_t h = 0; h < H; ++h)
                    block[h][c] = exponentials ? likelihood_of(parts[h]) : parts[h];
            }
#pragma GCC unroll 2
            for (std::size_t h = 0; h < H; ++h) {
                transpose(block[h]);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < W; ++r) {
                    if (h * W + r < count)
                        store<double>(out + (first + h * W + r) * ld + k, block[h][r]);
                }
            }
        }
    }
}

// Shares by component from those by step; s is zero behind the steps, up to n_padded.
template <class T>
static void shares_by_component(const double* g, std::size_t ld, std::size_t n,
                                std::size_t n_padded, std::size_t K, T* s, std::size_t s_ld) {
    constexpr std::size_t W = kLanes<double>;
    for (std::size_t first = 0; first < n; first += W) {
        const std::size_t count = at_most(n - first, W);
        for (std::size_t k = 0; k < K; k += W) {
            Vec<double> block[W];
#pragma GCC unroll 8
            for (std::size_t r = 0; r < W; ++r)
                block[r] = r < count ? load<double>(g + (first + r) * ld + k) : Vec<double>{};
            transpose(block);
#pragma GCC unroll 8
            for (std::size_t c = 0; c < W; ++c) {
                if (k + c >= K)
                    break;
                T* to = s + (k + c) * s_ld + first;
                if constexpr (sizeof(T) == 8) {
                    store<double>(to, block[c]);
                } else {
                    const HalfFloats narrow = __builtin_convertvector(block[c], HalfFloats);
                    __builtin_memcpy(to, &narrow, sizeof narrow);
                }
            }
        }
    }
    const std::size_t from = round_up(n, W);
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t i = from; i < n_padded; ++i)
            s[k * s_ld + i] = 0;
    }
}

template <class T>
class GaussianEmission {
  public:
    using Steps = GaussianSteps<T>;

    static std::size_t bytes(const Steps& steps) {
        const MixtureTask<T>& task = steps.task;
        const std::size_t K = task.scores.n_components;
        const std::size_t D = task.scores.n_features;
        const std::size_t features = tile_features(task.statistics, D);
        std::size_t size = workspace_bytes<T>(steps.tile_steps, features, K);
        if (task.missing != nullptr)
            size += missing_bytes<T>(steps.tile_steps, D, K, is_matrix(task.scores.kind));
        return round_up(size, 64) + mix_bytes(steps);
    }

    GaussianEmission(const Steps& steps, void* memory)
        : steps_(steps),
          task_(steps.task),
          features_(tile_features(task_.statistics, task_.scores.n_features)),
          space_(carve<T>(memory, steps.tile_steps, features_, task_.scores.n_components)),
          holes_(missing_workspace<T>(task_, memory, steps.tile_steps, features_, space_.ld)),
          K_(task_.scores.n_components / steps.n_mix),
          s_(space_.s) {
        if (steps.n_mix > 1) {
            const std::size_t behind = bytes(steps) - mix_bytes(steps);
            s_ = reinterpret_cast<T*>(static_cast<char*>(memory) + behind);
        }
    }

    void likelihoods(std::size_t row, std::size_t n, double* out, std::size_t ld, double* shift) {
        score_states(row, n);
        by_step<T>(s_, space_.ld, K_, n, true, out, ld, shift);
    }

    // Log base measure of a step.
    static double base(std::size_t /*row*/) { return 0; }

    void scores(std::size_t row, std::size_t n, double* out, std::size_t ld) {
        score_states(row, n);
        by_step<T>(s_, space_.ld, K_, n, false, out, ld, nullptr);
    }

    // Under shares times weights g, n x ld; w: the weights of the steps. Returns the (weighted)
    // entropy of the missing values.
    double accumulate(std::size_t row, std::size_t n, const double* g, std::size_t ld,
                      const double* w, double* stats) {
        const bool missing = read(row, n, w);
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        if (missing)
            score_missing<T>(task_, tile(n, n_padded), holes_);
        if (steps_.n_mix > 1)
            split_shares(missing, n_padded);
        shares_by_component<T>(g, ld, n, n_padded, K_, s_, space_.ld);
        if (steps_.n_mix > 1)
            weigh_components(n_padded);
        return add(row, n, n_padded, missing, stats);
    }

    // Under one label a step.
    void accumulate_labels(std::size_t row, std::size_t n, const std::int32_t* labels,
                           const double* w, double* stats) {
        const bool missing = read(row, n, w);
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        if (missing)
            score_missing<T>(task_, tile(n, n_padded), holes_);
        for (std::size_t r = 0; r < n_padded; ++r)
            space_.labels[r] = r < n ? labels[r] : 0;
        if (steps_.n_mix > 1)
            best_components(missing, n, n_padded);
        add(row, n, n_padded, missing, stats);
    }

  private:
    // The entropy of the missing values stands in front of a mixture's counts, where a chain has a
    // transition.
    double add(std::size_t row, std::size_t n, std::size_t n_padded, bool missing, double* stats) {
        const double transition = stats[1];
        stats[1] = 0;
        add_statistics<T>(task_, tile(n, n_padded), space_, holes_, row, missing, false, stats);
        const double entropy = stats[1];
        stats[1] = transition;
        return entropy;
    }

    MissingTile<T> tile(std::size_t n, std::size_t n_padded) const {
        return {space_.x, space_.s, space_.w, space_.spare, space_.labels, space_.ld, n, n_padded};
    }

    // Whether some features are missing.
    bool read(std::size_t row, std::size_t n, const double* w) {
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        load_rows<T>(task_.rows, row, n, n_padded, task_.scores.origin, space_);
        for (std::size_t r = 0; w != nullptr && r < n; ++r)
            space_.w[r] = static_cast<T>(w[r]);
        return task_.missing != nullptr &&
               any_missing<T>(space_.x, space_.ld, task_.scores.n_features, n_padded);
    }

    void score_states(std::size_t row, std::size_t n) {
        const bool missing = read(row, n, nullptr);
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        if (missing)
            score_missing<T>(task_, tile(n, n_padded), holes_);
        else
            score_components(n_padded);
        if (steps_.n_mix > 1)
            join_components(n_padded);
        if (steps_.labels != nullptr)
            clamp_scores<T>(s_, space_.ld, K_, steps_.labels + row, n);
    }

    void score_components(std::size_t n_padded) {
        score<T>(task_.scores, space_.x, space_.ld, n_padded, space_.spare, space_.s);
    }

    // ---- states of several components --------------------------------------------------------

    static std::size_t mix_bytes(const Steps& steps) {
        const std::size_t K = steps.task.scores.n_components / steps.n_mix;
        const std::size_t ld = round_up(steps.tile_steps, 64) + kRowPad<T>;
        return steps.n_mix > 1 ? round_up(K * ld * sizeof(T), 64) : 0;
    }

    // Calls body(state, row of its first component's scores, row of the state) for each vector of
    // steps; weights are added to the scores first.
    template <class Body>
    void for_states(std::size_t n_padded, Body body) {
        const std::size_t ld = space_.ld;
        for (std::size_t k = 0; k < K_; ++k) {
            for (std::size_t n = 0; n < n_padded; n += kLanes<T>)
                body(k, space_.s + k * steps_.n_mix * ld + n, s_ + k * ld + n);
        }
    }

    Vec<T> weighted(std::size_t k, std::size_t m, const T* s) const {
        return load<T>(s + m * space_.ld) + splat<T>(steps_.log_mix[k * steps_.n_mix + m]);
    }

    Vec<T> largest_of(std::size_t k, const T* s) const {
        Vec<T> largest = weighted(k, 0, s);
        for (std::size_t m = 1; m < steps_.n_mix; ++m)
            largest = max<T>(largest, weighted(k, m, s));
        return max<T>(largest, splat<T>(kImpossible<T>));
    }

    // The score of a state: logsumexp over its components, or their maximum under the hard rule.
    void join_components(std::size_t n_padded) {
        const bool hard = task_.rule == LocalRule::hard;
        for_states(n_padded, [&](std::size_t k, const T* s, T* out) {
            const Vec<T> largest = largest_of(k, s);
            Vec<T> total = {};
            for (std::size_t m = 0; !hard && m < steps_.n_mix; ++m)
                total += vexp_nonpositive<T>(weighted(k, m, s) - largest);
            store<T>(out, hard ? largest : largest + vlog<T>(total));
        });
    }

    // The components' shares of their states, in the place of their scores.
    void split_shares(bool missing, std::size_t n_padded) {
        if (!missing)
            score_components(n_padded);
        for_states(n_padded, [&](std::size_t k, T* s, T*) {
            const Vec<T> largest = largest_of(k, s);
            Vec<T> total = {};
            for (std::size_t m = 0; m < steps_.n_mix; ++m) {
                Vec<T> below = weighted(k, m, s) - largest;
                const Vec<T> e = share_of<T>(below);
                store<T>(s + m * space_.ld, e);
                total += e;
            }
            for (std::size_t m = 0; m < steps_.n_mix; ++m)
                store<T>(s + m * space_.ld, load<T>(s + m * space_.ld) / total);
        });
    }

    void weigh_components(std::size_t n_padded) {
        for_states(n_padded, [&](std::size_t, T* s, const T* share) {
            for (std::size_t m = 0; m < steps_.n_mix; ++m)
                store<T>(s + m * space_.ld, load<T>(s + m * space_.ld) * load<T>(share));
        });
    }

    // Labels of states become those of their best components, the lowest of equal ones.
    void best_components(bool missing, std::size_t n, std::size_t n_padded) {
        if (!missing)
            score_components(n_padded);
        for (std::size_t r = 0; r < n; ++r) {
            const std::size_t first = static_cast<std::size_t>(space_.labels[r]) * steps_.n_mix;
            const auto at = [&](std::size_t m) {
                return space_.s[(first + m) * space_.ld + r] + steps_.log_mix[first + m];
            };
            std::size_t best = 0;
            for (std::size_t m = 1; m < steps_.n_mix; ++m)
                best = at(m) > at(best) ? m : best;
            space_.labels[r] = static_cast<std::int32_t>(first + best);
        }
    }

    const Steps& steps_;
    const MixtureTask<T>& task_;
    std::size_t features_;
    TileWorkspace<T> space_;
    MissingWorkspace<T> holes_;
    std::size_t K_;
    T* s_;  // scores, or shares, of the states
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
