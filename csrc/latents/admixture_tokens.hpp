// The local step of an admixture, token by token: theta integrated out, one topic z a token.
//
// Given the topics, p(z_i = k | all other z of the document, word w) is proportional to
// (n_k + alpha_k) B_wk, n_k the document's other tokens in topic k. `hard` takes the best topic,
// and sweeps until nothing changes: coordinate ascent on log p(w, z | alpha, beta). `sampled` draws
// once a token: a Gibbs sweep, partially collapsed (Magnusson, Jonsson, Villani, Broman 2018).
// A cold start adds the tokens one after the other, each given those before it.
#pragma once

#include "../kernels/lda_task.hpp"
#include "../math/philox.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// The numbers of random::Stream(seed, iteration, stream, index), which a kernel may not use.
class DocumentStream {
  public:
    DocumentStream(std::uint64_t seed, std::uint32_t iteration, std::uint32_t stream,
                   std::uint64_t index)
        : seed_(seed),
          index_(static_cast<std::uint32_t>(index)),
          iteration_(iteration),
          stream_(stream) {}

    double uniform() {
        if (has_next_) {
            has_next_ = false;
            return next_;
        }
        std::uint32_t c0 = call_++, c1 = index_, c2 = iteration_, c3 = stream_;
        std::uint32_t low = static_cast<std::uint32_t>(seed_);
        std::uint32_t high = static_cast<std::uint32_t>(seed_ >> 32);
        for (int round = 0; round < 10; ++round) {
            const std::uint64_t a = std::uint64_t{0xD2511F53} * c0;
            const std::uint64_t b = std::uint64_t{0xCD9E8D57} * c2;
            c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ low;
            c1 = static_cast<std::uint32_t>(b);
            c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ high;
            c3 = static_cast<std::uint32_t>(a);
            low += 0x9E3779B9;
            high += 0xBB67AE85;
        }
        next_ = to_uniform(c2, c3);
        has_next_ = true;
        return to_uniform(c0, c1);
    }

  private:
    static double to_uniform(std::uint32_t high, std::uint32_t low) {
        const std::uint64_t bits = std::uint64_t{high} << 20 | low >> 12;
        return (static_cast<double>(bits) + 0.5) * 0x1p-52;
    }

    std::uint64_t seed_;
    std::uint32_t index_, iteration_, stream_;
    std::uint32_t call_ = 0;
    double next_ = 0;
    bool has_next_ = false;
};

// The first of the largest (n_k + alpha_k) B_wk; ld is padded, K is not.
template <class T>
inline std::int32_t best_topic(const T* number, const T* alpha, const T* row, std::size_t ld) {
    Vec<T> mark;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        mark[lane] = static_cast<T>(lane);
    Vec<T> best = (load<T>(number) + load<T>(alpha)) * load<T>(row);
    Vec<T> label = mark;
    for (std::size_t k = kLanes<T>; k < ld; k += kLanes<T>) {
        mark += splat<T>(static_cast<T>(kLanes<T>));
        const Vec<T> score = (load<T>(number + k) + load<T>(alpha + k)) * load<T>(row + k);
        label = select<T>(score > best, mark, label);
        best = max<T>(score, best);
    }
    T top = best[0];
    T winner = label[0];
    for (std::size_t lane = 1; lane < kLanes<T>; ++lane) {
        if (best[lane] > top || (best[lane] == top && label[lane] < winner)) {
            top = best[lane];
            winner = label[lane];
        }
    }
    return static_cast<std::int32_t>(winner);
}

// A draw by inversion: the number of topics whose cumulated probability is at most u times the
// total. `scratch` has room for 2 ld numbers: probabilities, then their sums by vector.
template <class T>
inline std::int32_t drawn_topic(const T* number, const T* alpha, const T* row, std::size_t ld,
                                double u, T* scratch) {
    constexpr std::size_t L = kLanes<T>;
    T* sums = scratch + ld;
    const std::size_t n_vectors = ld / L;
    Vec<T> group[L] = {};
    for (std::size_t v = 0; v < n_vectors; v += L) {
        const std::size_t count = n_vectors - v < L ? n_vectors - v : L;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t k = (v + i) * L;
            group[i] = (load<T>(number + k) + load<T>(alpha + k)) * load<T>(row + k);
            store<T>(scratch + k, group[i]);
        }
        const Vec<T> of_group = reduce_lanes<T>(group);
        for (std::size_t i = 0; i < count; ++i)
            sums[v + i] = of_group[i];
    }
    T total = 0;
    for (std::size_t v = 0; v < n_vectors; ++v)
        total += sums[v];
    const T threshold = static_cast<T>(u) * total;
    T cumulated = 0;
    std::size_t v = 0;
    while (v + 1 < n_vectors && cumulated + sums[v] <= threshold)
        cumulated += sums[v++];
    std::size_t last = v * L;  // rounding may leave the threshold beyond the end
    for (std::size_t k = v * L; k < (v + 1) * L; ++k) {
        if (!(scratch[k] > 0))
            continue;
        last = k;
        cumulated += scratch[k];
        if (cumulated > threshold)
            break;
    }
    return static_cast<std::int32_t>(last);
}

// One document of `n` entries, whose tokens follow each other in z.
template <class T>
struct TokenDocument {
    const std::int32_t* words;  // n
    std::size_t n;
    const T* counts;  // n, whole numbers
    std::int32_t* z;
    T* number;   // ld: tokens a topic
    T* scratch;  // 2 ld
};

// One sweep: choose(row) is a token's topic given `number` of the others. The changes.
template <class T, class Choose>
inline std::size_t sweep(TokenDocument<T>& doc, const TopicRows<T>& topics, bool is_first,
                         Choose&& choose) {
    std::size_t changes = 0;
    std::int32_t* z = doc.z;
    for (std::size_t i = 0; i < doc.n; ++i) {
        const T* row = topics.rows + static_cast<std::size_t>(doc.words[i]) * topics.ld;
        const std::int64_t count = static_cast<std::int64_t>(doc.counts[i]);
        for (std::int64_t token = 0; token < count; ++token, ++z) {
            if (!is_first)
                doc.number[*z] -= T(1);
            const std::int32_t topic = choose(row);
            doc.number[topic] += T(1);
            changes += is_first || topic != *z ? 1 : 0;
            *z = topic;
        }
    }
    return changes;
}

template <class T>
static void hard_document(TokenDocument<T>& doc, const TopicRows<T>& topics, bool is_cold,
                          int max_inner) {
    const auto choose = [&](const T* row) {
        return best_topic<T>(doc.number, topics.alpha, row, topics.ld);
    };
    for (int i = 0; i < max_inner; ++i) {
        if (sweep<T>(doc, topics, is_cold && i == 0, choose) == 0)
            return;
    }
}

template <class T>
static void sample_document(TokenDocument<T>& doc, const TopicRows<T>& topics, bool is_cold,
                            DocumentStream stream) {
    sweep<T>(doc, topics, is_cold, [&](const T* row) {
        return drawn_topic<T>(doc.number, topics.alpha, row, topics.ld, stream.uniform(),
                              doc.scratch);
    });
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
