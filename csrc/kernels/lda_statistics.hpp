// The other half of the E-step of latent Dirichlet allocation: expected counts of words [first,
// end) from what one chunk of documents left, always in the order of the documents.
#pragma once

#include "../latents/admixture_bound.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Entries that are summed in T before they are added in double.
constexpr std::int64_t kEntryBlock = 32;
constexpr std::size_t kTopicStrip = 4;  // vectors of topics that are summed together

template <class T>
inline void add_vector(double* to, std::size_t count, Vec<T> sum, Vec<T> row) {
    T sums[kLanes<T>], rows[kLanes<T>];
    store<T>(sums, sum);
    store<T>(rows, row);
    for (std::size_t i = 0; i < count; ++i)
        to[i] += static_cast<double>(sums[i]) * static_cast<double>(rows[i]);
}

// sstats_wk += B_wk sum over w's entries of ratio e_dk, strips of topics in registers.
template <class T>
static void add_word(const LdaTask<T>& task, const WordIndex& index, std::size_t w, double* out) {
    const std::size_t K = task.topics.n_components;
    const std::size_t ld = task.topics.ld;
    const T* row = task.topics.rows + w * ld;
    for (std::int64_t from = index.begin[w]; from < index.begin[w + 1]; from += kEntryBlock) {
        const std::int64_t rest = index.begin[w + 1] - from;
        const std::int64_t to = from + (rest < kEntryBlock ? rest : kEntryBlock);
        std::size_t k = 0;
        for (; k + kTopicStrip * kLanes<T> <= ld; k += kTopicStrip * kLanes<T>) {
            Vec<T> sums[kTopicStrip] = {};
            for (std::int64_t i = from; i < to; ++i) {
                const T* e = task.proportions + index.document[i] * ld + k;
                const Vec<T> ratio = splat<T>(task.ratios[index.entry[i]]);
#pragma GCC unroll 4
                for (std::size_t v = 0; v < kTopicStrip; ++v)
                    sums[v] = mul_add<T>(ratio, load<T>(e + v * kLanes<T>), sums[v]);
            }
            for (std::size_t v = 0; v < kTopicStrip; ++v) {
                const std::size_t at = k + v * kLanes<T>;
                const std::size_t count = at >= K ? 0 : K - at < kLanes<T> ? K - at : kLanes<T>;
                add_vector<T>(out + at, count, sums[v], load<T>(row + at));
            }
        }
        for (; k < ld; k += kLanes<T>) {
            Vec<T> sum = {};
            for (std::int64_t i = from; i < to; ++i)
                sum = mul_add<T>(splat<T>(task.ratios[index.entry[i]]),
                                 load<T>(task.proportions + index.document[i] * ld + k), sum);
            add_vector<T>(out + k, K - k < kLanes<T> ? K - k : kLanes<T>, sum, load<T>(row + k));
        }
    }
}

// sstats_wk += the weighted tokens of w in topic k.
template <class T>
static void add_tokens(const LdaTask<T>& task, const WordIndex& index, std::size_t w, double* out) {
    for (std::int64_t i = index.begin[w]; i < index.begin[w + 1]; ++i) {
        const std::size_t d = task.first_document + index.document[i];
        const double weight = task.documents.weights == nullptr ? 1.0 : task.documents.weights[d];
        const std::int64_t entry = task.first_entry + index.entry[i];
        const double count =
            task.documents.counts_are_float
                ? static_cast<double>(static_cast<const float*>(task.documents.counts)[entry])
                : static_cast<const double*>(task.documents.counts)[entry];
        const std::int32_t* z = task.labels + task.entry_token[index.entry[i]];
        for (std::int64_t token = 0; token < static_cast<std::int64_t>(count); ++token)
            out[z[token]] += weight;
    }
}

// Adds words [first, end) of the chunk to sstats (n_words x K).
template <class T>
static void lda_words(const LdaTask<T>& task, const WordIndex& index, std::size_t first,
                      std::size_t end, double* sstats) {
    for (std::size_t w = first; w < end; ++w) {
        double* out = sstats + w * task.topics.n_components;
        if (task.rule == DocumentRule::factorised)
            add_word<T>(task, index, w, out);
        else
            add_tokens<T>(task, index, w, out);
    }
}

// <sstats, E[log beta]> over words [first, end), with 0 log 0 = 0.
template <class T>
static double lda_log_joint(const TopicRows<T>& topics, const double* sstats, std::size_t first,
                            std::size_t end) {
    const std::size_t K = topics.n_components;
    constexpr std::size_t L = kLanes<double>;
    Vec<double> sum = {};
    for (std::size_t w = first; w < end; ++w) {
        const T* row = topics.rows + w * topics.ld;
        const double* counts = sstats + w * K;
        const Vec<double> shift = splat<double>(topics.shift[w]);
        for (std::size_t k = 0; k < K; k += L) {
            Vec<double> count, share;
            if (K - k >= L) {
                count = load<double>(counts + k);
                if (!any_bit<double>(as_bits<double>(count)))
                    continue;  // few words have all topics
                share = load_double(row + k);
            } else {
                double lanes[L];
                for (std::size_t i = 0; i < L; ++i)
                    lanes[i] = k + i < K ? static_cast<double>(row[k + i]) : 1.0;
                count = load_partial<double>(counts + k, K - k, 0.0);
                share = load<double>(lanes);
            }
            const Vec<double> term = count * (vlog<double>(share) + shift);
            sum += select<double>(count != splat<double>(0.0), term, splat<double>(0.0));
        }
    }
    return horizontal_sum<double>(sum);
}

// out_d = sum_w c_dw log sum_k theta_dk beta_wk of documents [first, end), both unpadded.
static void lda_predict(const Documents& documents, const double* theta, const double* topics,
                        std::size_t K, std::size_t first, std::size_t end, double* out) {
    constexpr std::size_t L = kLanes<double>;
    for (std::size_t d = first; d < end; ++d) {
        const double* share = theta + d * K;
        double sum = 0;
        for (std::int64_t i = documents.indptr[d]; i < documents.indptr[d + 1]; ++i) {
            const double* row = topics + static_cast<std::size_t>(documents.indices[i]) * K;
            Vec<double> even = {}, odd = {};
            std::size_t k = 0;
            for (; k + 2 * L <= K; k += 2 * L) {
                even = mul_add<double>(load<double>(share + k), load<double>(row + k), even);
                odd = mul_add<double>(load<double>(share + k + L), load<double>(row + k + L), odd);
            }
            double p = horizontal_sum<double>(even + odd);
            for (; k < K; ++k)
                p += share[k] * row[k];
            const double count =
                documents.counts_are_float
                    ? static_cast<double>(static_cast<const float*>(documents.counts)[i])
                    : static_cast<const double*>(documents.counts)[i];
            sum += count * vlog<double>(splat<double>(p))[0];
        }
        out[d] = sum;
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
