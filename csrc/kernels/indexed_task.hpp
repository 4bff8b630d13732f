// What the fused E-step of an indexed family is told: plain data only (see task.hpp).
//
// A row of an indexed family (Bernoulli, Poisson, categorical) is a short list of entries (index f,
// value v), and its score for component k is constant[k] + sum over the entries of v table[f, k].
// Components are the fast axis, so that an entry costs one load and one operation a vector of them.
//   bernoulli    one entry (d, 1) for every feature that is one
//   poisson      one entry (d, x) for every count that is not zero
//   categorical  one entry (offset[d] + code, 1) for every column
// With `marginalize`, a missing feature d of a Bernoulli or Poisson row is the entry (F + d, 1),
// whose table row takes the feature out of the constant; a missing categorical column has no entry.
//
// Bits without anything missing are looked up four at a time: features 4 g to 4 g + 3 are group g,
// and a row has the entry (16 g + their bits, 1) for every group that is not all zero. Images and
// other neighbouring features have a third of the entries then; independent ones somewhat fewer.
// The table has a row for each of the 16 patterns of a group, and sums over patterns are taken
// apart at the end of a leaf.
#pragma once

#include <cstddef>
#include <cstdint>

#include "task.hpp"

namespace vemfast::detail {

enum class IndexedFamily : int { bernoulli, poisson, categorical };

// How rows are stored. Dense: bytes (0, 1 or codes; 255 is missing), int32 codes (-1 is missing),
// counts (NaN is missing). CSR: without values all are one; NaN is missing.
enum class Storage : int {
    bytes,
    codes,
    float_counts,
    double_counts,
    csr_ones,
    csr_float,
    csr_double
};

static inline bool is_csr(Storage storage) {
    return storage == Storage::csr_ones || storage == Storage::csr_float ||
           storage == Storage::csr_double;
}

struct IndexedRows {
    Storage storage = Storage::bytes;
    std::size_t n_rows = 0;
    std::size_t n_features = 0;
    const void* data = nullptr;  // dense, strides in elements
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t column_stride = 0;
    const std::int64_t* indptr = nullptr;  // CSR: n_rows + 1; indices sorted, no duplicates
    const std::int32_t* indices = nullptr;
    const void* values = nullptr;
    const double* weights = nullptr;           // n_rows, or null for weight one
    const double* base = nullptr;              // n_rows: log base measure, or null for zero
    const std::int32_t* labels = nullptr;      // n_rows, -1 where unknown; or null
    const double* responsibilities = nullptr;  // n_rows x K, for LocalRule::given
    std::uint64_t offset = 0;  // global index of the first row: keys the random draws
};

static constexpr std::size_t kGroupBits = 4;
static constexpr std::size_t kPatterns = std::size_t{1} << kGroupBits;

// Groups of bits, or 0 where entries are single features: with missing ones, and where the table of
// patterns would be too large for a second-level cache.
static inline std::size_t bit_groups(IndexedFamily family, bool marginalize, std::size_t n_features,
                                     std::size_t n_components, bool is_float) {
    constexpr std::size_t kLargestTable = std::size_t{2} << 20;
    const std::size_t groups = (n_features + kGroupBits - 1) / kGroupBits;
    const std::size_t bytes = groups * kPatterns * n_components * (is_float ? 4 : 8);
    const bool grouped = family == IndexedFamily::bernoulli && !marginalize;
    return grouped && bytes <= kLargestTable ? groups : 0;
}

// Table rows are padded to whole vectors: `ld` is a multiple of the level's lanes, and what lies
// behind the components is zero.
template <class T>
struct IndexedScores {
    std::size_t n_components = 0;
    std::size_t n_indexed = 0;  // rows of the table: F, F + D with missing entries, or patterns
    std::size_t ld = 0;
    const T* constant = nullptr;  // ld
    const T* table = nullptr;     // n_indexed x ld
};

template <class T>
struct IndexedTask {
    IndexedRows rows;
    IndexedScores<T> scores;
    IndexedFamily family = IndexedFamily::bernoulli;
    const std::int64_t* column_offsets = nullptr;  // n_features + 1, categorical
    std::size_t n_values = 0;                      // F: where the indices of missing features begin
    bool marginalize = false;
    std::size_t n_groups = 0;  // of bits, 0: entries are single features
    LocalRule rule = LocalRule::exact;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
};

// Sizes of the workspace of one thread.
struct IndexedSizes {
    std::size_t tile_rows = 0;
    std::size_t n_components = 0;
    std::size_t n_indexed = 0;  // rows of the table
    std::size_t n_groups = 0;   // of bits
    std::size_t n_entries = 0;  // most entries of one tile
    std::size_t item = 0;       // bytes of one element of strided dense rows, 0 for others
    std::size_t n_features = 0;
};

// Statistics in one buffer of doubles: [local_bound, entropy, counts (K), sums (n_indexed x K)]:
// the rows of the table in its own order, those of missing entries last.
static inline std::size_t indexed_stats_size(std::size_t n_components, std::size_t n_indexed) {
    return 2 + n_components + n_components * n_indexed;
}

}  // namespace vemfast::detail
