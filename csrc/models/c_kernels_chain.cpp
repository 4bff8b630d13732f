// vemfast/kernels.h: hidden Markov chains over given log likelihoods.
#include <algorithm>
#include <cmath>
#include <vector>

#include "models/c_kernels.hpp"
#include "models/hmm_log.hpp"
#include "models/hmm_steps.hpp"

namespace vemfast::models {

namespace {

constexpr double kMinusInfinity = -HUGE_VAL;

// One sequence and its chain, as the kernels want them.
class ScoredChain {
  public:
    ScoredChain(const double* start, const double* transitions, const double* scores, std::size_t T,
                std::size_t K)
        : T_(T), K_(K), ld_(whole_vectors<double>(K)), plain_(ld_ + 2 * K * ld_, 0.0) {
        logs_.assign(plain_.size(), kMinusInfinity);
        for (std::size_t j = 0; j < K; ++j) {
            set(j, start[j]);
            for (std::size_t i = 0; i < K; ++i) {
                set(ld_ + i * ld_ + j, transitions[i * K + j]);
                set(ld_ + K * ld_ + j * ld_ + i, transitions[i * K + j]);
            }
        }
        chain_.n_states = K;
        chain_.ld = ld_;
        chain_.start = plain_.data();
        chain_.transitions = plain_.data() + ld_;
        chain_.transposed = plain_.data() + ld_ + K * ld_;
        chain_.pause = [] {};  // nobody asks to stop: the caller is native code
        chain_.log_start = logs_.data();
        chain_.log_transitions = logs_.data() + ld_;
        chain_.log_transposed = logs_.data() + ld_ + K * ld_;
        steps_ = {scores, K};
        sizes_ = {T, ChainShape(K).tile};
        end_ = static_cast<std::int64_t>(T);
        part_.n_steps = T;
        part_.n_sequences = 1;
        part_.ends = &end_;
        memory_ = exec::allocate(entry().workspace_bytes(chain_, steps_, sizes_));
    }
    ScoredChain(const ScoredChain&) = delete;  // part_ and chain_ point into it
    ScoredChain& operator=(const ScoredChain&) = delete;

    int forward_backward(double* posteriors, double* pairs, double* log_evidence) {
        double found = 0;
        std::uint8_t failed = 0;
        std::vector<double> stats(pairs == nullptr ? 0 : detail::chain_stats_size(K_), 0.0);
        const detail::ChainOutcome outcome{&found, &failed, posteriors};
        const bool fine = entry().leaf(chain_, steps_, sizes_, part_, nullptr, outcome,
                                       memory_.get(), pairs == nullptr ? nullptr : stats.data());
        double* counts = pairs == nullptr ? nullptr : stats.data() + 2 + K_;
        if (!fine || failed != 0) {
            const LogChain chain(chain_,
                                 std::vector<double>(steps_.scores, steps_.scores + T_ * K_));
            found = chain.log_normaliser();
            if (!(found > kMinusInfinity))
                return VEMFAST_KERNEL_IMPOSSIBLE;
            std::fill(stats.begin(), stats.end(), 0.0);
            const std::vector<double> shares = chain.posteriors(1.0, counts);
            if (posteriors != nullptr)
                std::copy(shares.begin(), shares.end(), posteriors);
        }
        if (pairs != nullptr)
            std::copy_n(counts, K_ * K_, pairs);
        if (log_evidence != nullptr)
            *log_evidence = found;
        return VEMFAST_KERNEL_OK;
    }

    int viterbi(std::int32_t* states, double* log_joint) {
        double found = kMinusInfinity;
        entry().decode(chain_, steps_, sizes_, part_, -1, memory_.get(), &found, states, nullptr);
        if (!(found > kMinusInfinity))
            return VEMFAST_KERNEL_IMPOSSIBLE;
        if (log_joint != nullptr)
            *log_joint = found;
        return VEMFAST_KERNEL_OK;
    }

  private:
    static const ChainEntry<detail::ScoredSteps>& entry() {
        return kernels().scored_chain.on_double;
    }
    void set(std::size_t at, double probability) {
        plain_[at] = probability;
        logs_[at] = std::log(probability);
    }

    std::size_t T_, K_, ld_;
    std::vector<double> plain_, logs_;
    detail::ChainTables chain_;
    detail::ScoredSteps steps_;
    detail::ChainSizes sizes_;
    detail::ChainPart part_;
    std::int64_t end_ = 0;
    exec::Memory memory_;
};

int check_chain(const double* start, const double* transitions, const double* log_likelihood,
                std::ptrdiff_t T, std::ptrdiff_t K) {
    if (T < 1 || K < 1)
        return VEMFAST_KERNEL_SIZE;
    if (start == nullptr || transitions == nullptr || log_likelihood == nullptr)
        return VEMFAST_KERNEL_NULL;
    const auto states = static_cast<std::size_t>(K);
    const bool fine = all_not_negative(start, states) &&
                      all_not_negative(transitions, states * states) &&
                      all_logarithms(log_likelihood, static_cast<std::size_t>(T) * states);
    return fine ? VEMFAST_KERNEL_OK : VEMFAST_KERNEL_VALUE;
}

}  // namespace

}  // namespace vemfast::models

using namespace vemfast::models;  // the functions below have no namespace

int vemfast_forward_backward(const double* start, const double* transitions,
                             const double* log_likelihood, ptrdiff_t T, ptrdiff_t K,
                             double* posteriors, double* pairs, double* log_evidence) {
    const int status = check_chain(start, transitions, log_likelihood, T, K);
    if (status != VEMFAST_KERNEL_OK)
        return status;
    return guarded([&] {
        ScoredChain chain(start, transitions, log_likelihood, static_cast<std::size_t>(T),
                          static_cast<std::size_t>(K));
        return chain.forward_backward(posteriors, pairs, log_evidence);
    });
}

int vemfast_viterbi(const double* start, const double* transitions, const double* log_likelihood,
                    ptrdiff_t T, ptrdiff_t K, int32_t* states, double* log_joint) {
    const int status = check_chain(start, transitions, log_likelihood, T, K);
    if (status != VEMFAST_KERNEL_OK)
        return status;
    if (states == nullptr)
        return VEMFAST_KERNEL_NULL;
    return guarded([&] {
        ScoredChain chain(start, transitions, log_likelihood, static_cast<std::size_t>(T),
                          static_cast<std::size_t>(K));
        return chain.viterbi(states, log_joint);
    });
}
