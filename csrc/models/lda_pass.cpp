// Passes over the documents of latent Dirichlet allocation.
//
// A pass goes through chunks of documents. In phase A documents are independent: groups of them of
// about equal work go to whichever thread is free, which leaves each document's exp(psi(gamma)) and
// each entry's ratio in the chunk's memory; one more item sorts the chunk's entries by word. In
// phase B words are independent: each sums its entries in the order of the documents. So there is
// no copy of the statistics a thread, and nothing depends on the number of threads; chunks and
// groups depend on the documents and K only.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "exec/parallel.hpp"
#include "isa/dispatch.hpp"
#include "models/lda.hpp"
#include "models/row_pass.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

using detail::DocumentRule;
using detail::Documents;
using detail::LdaTask;

namespace {

constexpr std::size_t kChunkBytes = std::size_t{8} << 20;  // of the rows e of one chunk
constexpr std::int64_t kChunkEntries = std::int64_t{1} << 21;
constexpr std::int64_t kGroupEntries = 2048;
constexpr std::size_t kGroupDocuments = 128;
constexpr std::int64_t kRangeEntries = 4096;  // of the words that are one item of phase B
constexpr std::size_t kRangeWords = 512;
constexpr std::size_t kWordsOfASum = 128;

template <class T>
const LdaEntry<T>& entry() {
    if constexpr (sizeof(T) == 4)
        return kernels().lda.on_float;
    else
        return kernels().lda.on_double;
}

std::size_t longest_document(const Documents& documents) {
    std::int64_t longest = 0;
    for (std::size_t d = 0; d < documents.n_documents; ++d)
        longest = std::max(longest, documents.indptr[d + 1] - documents.indptr[d]);
    return static_cast<std::size_t>(longest);
}

// Ends of consecutive runs of documents in [first, end), each closed as soon as it has `entries`
// entries or `count` documents.
std::vector<std::size_t> cut(const Documents& documents, std::size_t first, std::size_t end,
                             std::int64_t entries, std::size_t count) {
    std::vector<std::size_t> ends;
    std::size_t begin = first;
    for (std::size_t d = first; d < end; ++d) {
        const bool full =
            documents.indptr[d + 1] - documents.indptr[begin] >= entries || d + 1 - begin >= count;
        if (full || d + 1 == end) {
            ends.push_back(d + 1);
            begin = d + 1;
        }
    }
    return ends;
}

// The entries of one chunk by word, filled by a counting sort.
class ChunkIndex {
  public:
    ChunkIndex(std::size_t n_words, std::size_t n_entries)
        : V_(n_words), begin_(n_words + 2), document_(n_entries), entry_(n_entries) {}

    void build(const Documents& documents, std::size_t first, std::size_t end) {
        std::fill(begin_.begin(), begin_.end(), 0);
        const std::int64_t from = documents.indptr[first];
        const std::int64_t to = documents.indptr[end];
        // begin_[w + 1] counts up from the begin of w to that of w + 1 while entries are written.
        for (std::int64_t i = from; i < to; ++i)
            ++begin_[static_cast<std::size_t>(documents.indices[i]) + 2];
        for (std::size_t w = 2; w <= V_; ++w)
            begin_[w] += begin_[w - 1];
        for (std::size_t d = first; d < end; ++d) {
            for (std::int64_t i = documents.indptr[d]; i < documents.indptr[d + 1]; ++i) {
                const auto w = static_cast<std::size_t>(documents.indices[i]);
                const auto at = static_cast<std::size_t>(begin_[w + 1]++);
                document_[at] = static_cast<std::uint32_t>(d - first);
                entry_[at] = static_cast<std::uint32_t>(i - from);
            }
        }
    }

    detail::WordIndex view() const { return {begin_.data(), document_.data(), entry_.data()}; }

    // Ends of ranges of words of some thousand entries.
    std::vector<std::size_t> ranges() const {
        std::vector<std::size_t> ends;
        std::size_t first = 0;
        for (std::size_t w = 0; w < V_; ++w) {
            if (begin_[w + 1] - begin_[first] >= kRangeEntries || w + 1 - first >= kRangeWords ||
                w + 1 == V_) {
                ends.push_back(w + 1);
                first = w + 1;
            }
        }
        return ends;
    }

  private:
    std::size_t V_;
    std::vector<std::int64_t> begin_;
    std::vector<std::uint32_t> document_, entry_;
};

template <class T>
LdaTask<T> task_for(const LdaTable& table, const Documents& documents, const LdaPass& pass,
                    LdaState state) {
    LdaTask<T> task;
    task.documents = documents;
    task.topics = table.view<T>();
    task.rule = pass.rule;
    task.max_inner = pass.max_inner;
    task.inner_tol = pass.inner_tol;
    task.seed = pass.seed;
    task.iteration = pass.iteration;
    if (pass.rule == DocumentRule::factorised) {
        task.gamma_before = static_cast<const T*>(state.before);
        task.gamma = static_cast<T*>(state.after);
    } else {
        task.labels_before = static_cast<const std::int32_t*>(state.before);
        task.labels = static_cast<std::int32_t*>(state.after);
    }
    return task;
}

template <class T>
class Step {
  public:
    Step(const LdaTable& table, const Documents& documents, const LdaPass& pass,
         const std::int64_t* first_token, LdaState state, const Poll& poll, double* stats)
        : documents_(documents),
          pass_(pass),
          poll_(poll),
          task_(task_for<T>(table, documents, pass, state)),
          K_(table.n_components),
          V_(table.n_words),
          longest_(longest_document(documents)),
          sstats_(stats + 2) {
        workspaces_.reserve(std::max(pass.n_threads, 1),
                            entry<T>().workspace_bytes(longest_, table.ld));
        task_.first_token = first_token;
    }

    // sstats, and the sums of [bound, log_theta (K)].
    std::vector<double> run() {
        const std::size_t rows = std::max<std::size_t>(1, kChunkBytes / (K_ * sizeof(T)));
        const auto chunks = cut(documents_, 0, documents_.n_documents, kChunkEntries, rows);
        std::size_t most_documents = 0;
        std::size_t most_entries = 0;
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            const std::size_t first = i == 0 ? 0 : chunks[i - 1];
            const auto entries = documents_.indptr[chunks[i]] - documents_.indptr[first];
            most_documents = std::max(most_documents, chunks[i] - first);
            most_entries = std::max(most_entries, static_cast<std::size_t>(entries));
        }
        require(most_entries < (std::size_t{1} << 32), "a document has more than 2**32 words");
        ChunkIndex index(V_, most_entries);
        exec::Memory proportions, ratios;
        std::vector<std::int64_t> entry_token;
        if (pass_.rule == DocumentRule::factorised) {
            proportions = exec::allocate(most_documents * task_.topics.ld * sizeof(T) + 64);
            ratios = exec::allocate(most_entries * sizeof(T) + 64);
            task_.proportions = static_cast<T*>(proportions.get());
            task_.ratios = static_cast<T*>(ratios.get());
        } else {
            entry_token.resize(most_entries);
            task_.entry_token = entry_token.data();
        }
        std::vector<double> sums(detail::lda_partial_size(K_), 0.0);
        if (chunks.empty())
            std::fill(sstats_, sstats_ + V_ * K_, 0.0);
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            const std::size_t first = i == 0 ? 0 : chunks[i - 1];
            documents_phase(first, chunks[i], index, sums);
            words_phase(index, i == 0);
        }
        return sums;
    }

  private:
    void documents_phase(std::size_t first, std::size_t end, ChunkIndex& index,
                         std::vector<double>& sums) {
        task_.first_document = first;
        task_.first_entry = documents_.indptr[first];
        const auto groups = cut(documents_, first, end, kGroupEntries, kGroupDocuments);
        const std::size_t size = sums.size();
        std::vector<double> partials(groups.size() * size, 0.0);
        const auto n_items = static_cast<std::int64_t>(groups.size()) + 1;
        exec::parallel_for(n_items, pass_.n_threads, poll_, [&](std::int64_t item, int slot) {
            if (item == 0) {
                index.build(documents_, first, end);
                return;
            }
            const auto group = static_cast<std::size_t>(item) - 1;
            entry<T>().documents(task_, group == 0 ? first : groups[group - 1], groups[group],
                                 longest_, workspaces_.of(slot), &partials[group * size]);
        });
        for (std::size_t group = 0; group < groups.size(); ++group) {
            for (std::size_t i = 0; i < size; ++i)
                sums[i] += partials[group * size + i];
        }
    }

    void words_phase(const ChunkIndex& index, bool is_first) {
        const auto ranges = index.ranges();
        const detail::WordIndex view = index.view();
        const auto n_items = static_cast<std::int64_t>(ranges.size());
        exec::parallel_for(n_items, pass_.n_threads, poll_, [&](std::int64_t item, int) {
            const auto range = static_cast<std::size_t>(item);
            const std::size_t from = range == 0 ? 0 : ranges[range - 1];
            if (is_first)
                std::fill(sstats_ + from * K_, sstats_ + ranges[range] * K_, 0.0);
            entry<T>().words(task_, view, from, ranges[range], sstats_);
        });
    }

    const Documents& documents_;
    const LdaPass& pass_;
    const Poll& poll_;
    LdaTask<T> task_;
    std::size_t K_, V_, longest_;
    Workspaces workspaces_;
    double* sstats_;
};

template <class T>
void run_e_step(const LdaTable& table, const Documents& documents, const LdaPass& pass,
                const std::int64_t* first_token, LdaState state, const Poll& poll, double* stats) {
    const std::size_t K = table.n_components;
    const std::size_t V = table.n_words;
    const std::vector<double> sums =
        Step<T>(table, documents, pass, first_token, state, poll, stats).run();
    double* log_theta = stats + 2 + V * K;
    std::copy(sums.begin() + 1, sums.end(), log_theta);
    double weight = static_cast<double>(documents.n_documents);
    if (documents.weights != nullptr)
        weight = std::accumulate(documents.weights, documents.weights + documents.n_documents, 0.0);
    log_theta[K] = weight;

    double log_joint = 0;
    const RowPass words{V, kWordsOfASum, 1, pass.n_threads};
    const auto view = table.view<T>();
    sum_over_rows(
        words, 1, poll,
        [&](std::size_t first, std::size_t n, void*, double* out) {
            *out += entry<T>().log_joint(view, stats + 2, first, first + n);
        },
        &log_joint);
    for (std::size_t k = 0; k < K; ++k)
        log_joint += (table.alpha_exact[k] - 1.0) * log_theta[k];
    stats[0] = sums[0];
    stats[1] = sums[0] - (log_joint + weight * table.log_normaliser);
}

template <class T>
void run_infer(const LdaTable& table, const LdaPass& pass, const Poll& poll,
               const LdaTask<T>& task) {
    const Documents& documents = task.documents;
    const std::size_t longest = longest_document(documents);
    const auto groups = cut(documents, 0, documents.n_documents, kGroupEntries, kGroupDocuments);
    const auto n_items = static_cast<std::int64_t>(groups.size());
    Workspaces workspaces;
    workspaces.reserve(exec::n_slots(n_items, pass.n_threads),
                       entry<T>().workspace_bytes(longest, table.ld));
    exec::parallel_for(n_items, pass.n_threads, poll, [&](std::int64_t item, int slot) {
        const auto group = static_cast<std::size_t>(item);
        entry<T>().documents(task, group == 0 ? 0 : groups[group - 1], groups[group], longest,
                             workspaces.of(slot), nullptr);
    });
}

}  // namespace

std::vector<std::int64_t> count_tokens(const Documents& documents) {
    std::vector<std::int64_t> first(documents.n_documents + 1, 0);
    for (std::size_t d = 0; d < documents.n_documents; ++d) {
        std::int64_t tokens = 0;
        for (std::int64_t i = documents.indptr[d]; i < documents.indptr[d + 1]; ++i) {
            const double count = count_at(documents, i);
            require(count == std::floor(count) && count >= 0 && count < 0x1p53, "document ",
                    documents.offset + d, ", word ", documents.indices[i], " has a count of ",
                    count,
                    ": inference='hard-em' and 'gibbs' give each token a topic, so counts must be "
                    "whole numbers; use 'mean-field' or 'variational-em'");
            tokens += static_cast<std::int64_t>(count);
        }
        first[d + 1] = first[d] + tokens;
    }
    return first;
}

void e_step(const LdaTable& table, const Documents& documents, const LdaPass& pass,
            const std::int64_t* first_token, LdaState state, const Poll& poll, double* stats) {
    if (table.is_float)
        run_e_step<float>(table, documents, pass, first_token, state, poll, stats);
    else
        run_e_step<double>(table, documents, pass, first_token, state, poll, stats);
}

void infer(const LdaTable& table, const Documents& documents, const LdaPass& pass, LdaState state,
           const Poll& poll, double* bounds) {
    const auto run = [&]<class T>(LdaTask<T> task) {
        task.bounds = bounds;
        run_infer<T>(table, pass, poll, task);
    };
    if (table.is_float)
        run(task_for<float>(table, documents, pass, state));
    else
        run(task_for<double>(table, documents, pass, state));
}

void proportions(const LdaTable& table, const Documents& documents, const LdaPass& pass,
                 bool add_up, const Poll& poll, double* out) {
    const auto run = [&]<class T>(LdaTask<T> task) {
        task.shares = out;
        task.shares_add_up = add_up;
        run_infer<T>(table, pass, poll, task);
    };
    if (table.is_float)
        run(task_for<float>(table, documents, pass, {}));
    else
        run(task_for<double>(table, documents, pass, {}));
}

void log_predictive(const Documents& documents, const double* theta, const double* topics,
                    std::size_t n_components, int n_threads, const Poll& poll, double* out) {
    const auto groups = cut(documents, 0, documents.n_documents, kGroupEntries, kGroupDocuments);
    const auto n_items = static_cast<std::int64_t>(groups.size());
    exec::parallel_for(n_items, n_threads, poll, [&](std::int64_t item, int) {
        const auto group = static_cast<std::size_t>(item);
        kernels().lda.predict(documents, theta, topics, n_components,
                              group == 0 ? 0 : groups[group - 1], groups[group], out);
    });
}

}  // namespace vemfast::models
